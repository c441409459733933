"""What `plausibility` is given: folders of predictions and images, rules, calibrations, patients."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from acnn_nnunet.evaluation.anatomy.rules import DATASET_KEY, AnatomicalRule, parse_rules
from acnn_nnunet.files.patients import GROUPS_FILE, read_groups
from acnn_nnunet.fold_prior.coder import Coder
from acnn_nnunet.plausibility.calibration import Calibration
from acnn_nnunet.plausibility.scores import PlausibilityScorer


@dataclass(frozen=True)
class Predictions:
    """A folder of predictions and their images.

    Attributes:
        folder: of the label maps.
        cases: file names without ending.
        file_ending: of label maps and images.
        images: folder of the images, if they are to be looked at.
    """

    folder: Path
    cases: tuple[str, ...]
    file_ending: str
    images: Path | None

    def label_file(self, case: str) -> Path:
        """Return the file of a prediction."""
        return self.folder / f"{case}{self.file_ending}"

    def image_files(self, case: str) -> list[Path]:
        """Return the images of a case, one a channel; none where no images are looked at.

        Raises:
            FileNotFoundError: if they are looked at and the case has none.
        """
        if self.images is None:
            return []
        files = sorted(self.images.glob(f"{escape(case)}_[0-9][0-9][0-9][0-9]{self.file_ending}"))
        if not files:
            raise FileNotFoundError(f"{self.images} holds no image {case}_0000{self.file_ending}")
        return files


def find_predictions(folder: Path, coder: Coder, *, images: Path | None) -> Predictions:
    """Look at the folders.

    Raises:
        FileNotFoundError, NotADirectoryError: if there is no such folder.
        ValueError: if it holds no label map, there is no image for any, or the prior has no predictor to read them.
    """
    folder = existing_folder(folder)
    ending = coder.file_ending
    files = [path for path in folder.iterdir() if path.name.endswith(ending) and not path.name.startswith(".")]
    if not files:
        raise ValueError(f"{folder} holds no {ending} file: it should hold the predicted label maps.")
    cases = tuple(sorted(path.name.removesuffix(ending) for path in files))
    found = Predictions(folder, cases, ending, None if images is None else existing_folder(images))
    if images is not None:
        coder.require_predictor()
        if not any(list(images.glob(f"{escape(case)}_[0-9]*{ending}")) for case in cases):
            raise ValueError(f"{images} holds no image of any prediction, such as {cases[0]}_0000{ending}.")
    return found


def find_rules(coder: Coder, rules_file: Path | None) -> tuple[AnatomicalRule, ...]:
    """Return the rules of a JSON file, a list or a dataset.json, or those that the prior's dataset declares, if any.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if it holds no rules or they do not suit the prior's labels.
    """
    names = coder.names.values()
    if rules_file is None:
        declared = coder.dataset_json.get(DATASET_KEY, [])
        return parse_rules(declared, names=names, where=f"dataset.json of {coder.prior.spec.dataset}")
    content = _read_json(rules_file, "a JSON list of rules, or a dataset.json that declares some")
    if isinstance(content, dict):
        if DATASET_KEY not in content:
            raise ValueError(f"{rules_file} declares no {DATASET_KEY}.")
        content = content[DATASET_KEY]
    return parse_rules(content, names=names, where=str(rules_file))


def read_calibration(path: Path, scorer: PlausibilityScorer, names: Sequence[str]) -> Calibration:
    """Read a calibration that was made with the same prior, rules and kinds of scores.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file and what differs.
    """
    content = _read_json(path, "a calibration.json that --calibrate wrote")
    calibration = Calibration.from_plain(content, where=str(path))
    again = "calibrate again with --calibrate GT"
    if calibration.prior_sha256 != scorer.coder.prior.sha256:
        raise ValueError(f"{path} was made with another prior than {scorer.coder.prior.path}: {again}.")
    if set(calibration.scores) != set(names):
        with_images = "image_disagreement" in calibration.scores
        if with_images != ("image_disagreement" in names):
            had, remedy = ("with", "give --images") if with_images else ("without", "leave out --images")
            raise ValueError(f"{path} was made {had} images: {remedy}, or {again}.")
    if list(calibration.rules) != [rule.as_plain() for rule in scorer.rules]:
        raise ValueError(f"{path} was made with other anatomical rules: name the same with --rules, or {again}.")
    return calibration


def patients_of_cases(groups: Path | None, references: Path) -> dict[str, str]:
    """Return the patient of each case of a table, or of groups.csv beside the references; empty without one.

    Raises:
        FileNotFoundError, ValueError: if the table cannot be read.
    """
    beside = Path(references).parent / GROUPS_FILE
    if groups is None and not beside.is_file():
        return {}
    return {row.case: row.patient for row in read_groups(groups or beside)}


def existing_folder(folder: Path) -> Path:
    """Return the folder.

    Raises:
        FileNotFoundError, NotADirectoryError: if it is none.
    """
    folder = Path(folder)
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file: name a folder.")
    if not folder.is_dir():
        raise FileNotFoundError(f"The folder {folder} does not exist.")
    return folder


def _read_json(path: Path, wanted: str) -> Any:
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}: it should be {wanted}.")
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): it should be {wanted}.") from None
