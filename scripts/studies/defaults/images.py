"""The test images of a workplace: every case and kind corrupted and preprocessed once, for all networks.

nnU-Net reads, preprocesses and writes every image for every network, which costs as much as the study's trainings. Here
the host's preprocessor sees each image once, and its arrays are kept.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acnn_nnunet.files.safe_writes import replace_atomically
from scripts.studies.defaults.arms import CLEAN, DECIDING, KINDS
from scripts.studies.defaults.corruptions import corrupt, seed_of

if TYPE_CHECKING:
    from scripts.studies.defaults.workplace import Workplace

SELECTION, CONFIRMATION = "selection", "confirmation"
PARTS = (SELECTION, CONFIRMATION)
# What the host's export needs of a preprocessed image's properties.
_EXPORTED = ("spacing", "shape_before_cropping", "bbox_used_for_cropping", "shape_after_cropping_and_before_resampling")


@dataclass(frozen=True)
class TestImage:
    """One preprocessed test image.

    Attributes:
        part: "selection" or "confirmation".
        case: its name.
        kind: of corruption.
        data: (C, Z, Y, X), float32.
        properties: what the host's export needs.
    """

    part: str
    case: str
    kind: str
    data: np.ndarray
    properties: dict[str, Any]


def kinds_of(units: dict[str, list[str]], part: str) -> dict[str, list[str]]:
    """Return the kinds of images that each case of a part is tested with.

    All cases are tested clean. A corruption is tested on one case per patient, drawn by a seed; of the confirmation
    cases on half of the patients, so that a network's nine further kinds cost no more than its training.

    Args:
        units: patient to the sorted names of its cases.
        part: "selection", which has deciding kinds only, or "confirmation".
    """
    found = {case: [CLEAN] for cases in units.values() for case in cases}
    patients = sorted(units)
    for kind in DECIDING if part == SELECTION else KINDS:
        if kind == CLEAN:
            continue
        rng = np.random.default_rng(seed_of(f"{part} {kind}", "cases"))
        num_tested = len(patients) if part == SELECTION else -(-len(patients) // 2)
        for index in sorted(rng.permutation(len(patients))[:num_tested]):
            found[str(rng.choice(units[patients[index]]))].append(kind)
    return found


def write_test_images(place: "Workplace", part: str, case: str, kinds: Sequence[str]) -> None:
    """Corrupt and preprocess the images of a test case, unless it has its file."""
    import torch
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from scripts.studies.defaults.arms import CONFIGURATION

    path = file_of(place.test, part, case)
    if path.is_file():
        return
    torch.set_num_threads(1)
    plans = PlansManager(str(place.plans_file))
    configuration = plans.get_configuration(CONFIGURATION)
    dataset_json = json.loads((place.raw / "dataset.json").read_text())
    reader = plans.image_reader_writer_class()
    preprocessor = configuration.preprocessor_class(verbose=False)
    image, properties = reader.read_images([str(place.raw / "imagesTr" / f"{case}_0000.nii.gz")])
    label = reader.read_seg(str(place.raw / "labelsTr" / f"{case}.nii.gz"))[0][0]
    arrays: dict[str, np.ndarray] = {}
    for kind in kinds:
        corrupted = corrupt(
            image[0].astype(np.float32),
            label,
            kind,
            spacing_mm=tuple(properties["spacing"]),
            motion_mm=place.study.motion_mm,
            seed=seed_of(case, kind),
        )
        data, _, of_data = preprocessor.run_case_npy(
            corrupted[None], None, dict(properties), plans, configuration, dataset_json
        )
        arrays[kind] = data
        arrays[f"{kind} properties"] = np.array(json.dumps({key: of_data[key] for key in _EXPORTED}, default=int))
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_atomically(path, lambda partial: _save(partial, arrays))


def all_test_cases(place: "Workplace") -> Iterator[tuple[str, str, list[str]]]:
    """Yield part, case and kinds of all test cases of a workplace."""
    for part in PARTS:
        units: dict[str, list[str]] = {}
        for case in place.cases(part):
            units.setdefault(place.unit(case), []).append(case)
        for case, kinds in kinds_of(units, part).items():
            yield part, case, kinds


def read_test_images(test: Path) -> Iterator[TestImage]:
    """Yield all test images of a folder, case by case.

    Raises:
        FileNotFoundError: if there are none; names the step that makes them.
    """
    paths = sorted(test.glob("*/*.npz"))
    if not paths:
        raise FileNotFoundError(
            f"{test} holds no test images: `python -m scripts.studies.defaults prepare` makes them."
        )
    for path in paths:
        with np.load(path) as arrays:
            for kind in [name for name in arrays.files if not name.endswith(" properties")]:
                properties = json.loads(str(arrays[f"{kind} properties"]))
                yield TestImage(path.parent.name, path.stem, kind, arrays[kind], properties)


def file_of(test: Path, part: str, case: str) -> Path:
    """Return the file of a case's test images."""
    return test / part / f"{case}.npz"


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with open(path, "wb") as file:
        np.savez(file, **arrays)
