"""A challenge's submission: predictions checked against the test images, and a zip of what the platform takes.

ACDC and CETUS share everything but the label values and the files that a case becomes.
"""

import tempfile
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from acnn_nnunet.casewise.run import run
from acnn_nnunet.casewise.work import excluded_of
from acnn_nnunet.challenges.challenge import Challenge
from acnn_nnunet.challenges.conversion import nnunet_raw
from acnn_nnunet.files.patients import PHASES, ConversionReport, read_conversion_report
from acnn_nnunet.files.safe_writes import replace_atomically
from acnn_nnunet.files.volumes import Volume, check_labels, check_same_grid, read_volume

_IMAGE_ENDING, _PREDICTION_ENDING = "_0000.nii.gz", ".nii.gz"
# The earliest time that a zip can hold: the same predictions always make the same file.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def find_dataset(name: str, dataset: str | None) -> Path:
    """Return the folder of a converted raw dataset: by id, by name, or as the only one called like the challenge.

    Raises:
        ValueError: if nnUNet_raw is not set or several datasets fit.
        FileNotFoundError: if none does.
    """
    raw = nnunet_raw()
    if dataset is None:
        pattern = f"Dataset[0-9][0-9][0-9]_{name}"
    else:
        pattern = f"Dataset{int(dataset):03d}_*" if dataset.isdecimal() else dataset
    found = sorted(path for path in raw.glob(pattern) if path.is_dir())
    if not found:
        convert = f"acnn-nnunet convert {name.lower()} SRC ID"
        raise FileNotFoundError(f"There is no {pattern} in {raw}: `{convert}` makes it, -d names another dataset.")
    if len(found) > 1:
        raise ValueError(f"{raw} holds {', '.join(path.name for path in found)}: choose one with -d.")
    return found[0]


def write_submission(challenge: Challenge, dataset: Path, predictions: Path, output: Path) -> str:
    """Check every prediction, then write the zip, and return a summary to print.

    The predictions become uint8 and get the test images' geometry to the last digit. An existing zip is replaced once
    the new one is complete.

    Args:
        challenge: such as ACDC.
        dataset: folder of the converted raw dataset; its imagesTs hold the test cases.
        predictions: folder of nnUNetv2_predict, one file a test case.
        output: the zip.

    Raises:
        FileNotFoundError: if there is no folder of predictions.
        ValueError: if the dataset has no test patients with ED and ES, the output is no zip, or listing all that is
            wrong with the predictions, one line each.
        OSError: if the zip cannot be written.
    """
    predictions, output = Path(predictions), Path(output)
    if output.suffix != ".zip":
        raise ValueError(f"The submission is a zip file: -o submission.zip, got {output}.")
    if not predictions.is_dir():
        raise FileNotFoundError(f"There is no folder {predictions}: give the output folder of nnUNetv2_predict.")
    images, report = _test_images(dataset), read_conversion_report(dataset)
    with tempfile.TemporaryDirectory(prefix="acnn_submission_") as folder:

        def check(case: str) -> None:
            label = _checked_label(predictions / f"{case}{_PREDICTION_ENDING}", images[case], challenge.labels.values())
            challenge.write_case(label, case, Path(folder), report.notes.get(case.rpartition("_")[0], ()))

        results = run(check, {case: case for case in images}, description=f"checking {dataset.name}")
        if problems := excluded_of(results):
            lines = "\n".join(f"  {problem.reason}" for problem in problems)
            raise ValueError(
                f"{len(problems)} of {len(images)} test cases are not fit to submit, no zip written:\n{lines}"
            )
        files = sorted(Path(folder).iterdir(), key=lambda path: path.name)
        output.parent.mkdir(parents=True, exist_ok=True)
        replace_atomically(output, lambda partial: _zip(files, partial))
    summary = f"{output}: {len(images) // len(PHASES)} patients, {len(files)} files"
    return "\n".join([summary, *_left_out(predictions, images, dataset, report)])


def _test_images(dataset: Path) -> dict[str, Path]:
    """Return the image of each test case, sorted by case."""
    paths = sorted((dataset / "imagesTs").glob(f"*{_IMAGE_ENDING}"))
    images = {path.name.removesuffix(_IMAGE_ENDING): path for path in paths}
    if not images:
        raise ValueError(f"{dataset} has no test cases (imagesTs): convert the challenge with its test patients.")
    patients = {case.rpartition("_")[0] for case in images}
    if odd := set(images) ^ {f"{patient}_{phase}" for patient in patients for phase in PHASES}:
        raise ValueError(f"{dataset} is no converted challenge: in imagesTs, {min(odd)} is missing or not ED or ES.")
    return images


def _checked_label(path: Path, image_path: Path, labels: Collection[int]) -> Volume:
    """Return the prediction as uint8 with the image's geometry, or raise ValueError saying what is wrong with it."""
    label = read_volume(path)
    check_labels(label.values, path.name, labels)
    grid = read_volume(image_path).geometry
    check_same_grid(label.geometry, path.name, grid, image_path.name)
    return Volume(label.values.astype(np.uint8), grid)


def _zip(files: Collection[Path], path: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.name, _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())


def _left_out(predictions: Path, images: Collection[str], dataset: Path, report: ConversionReport) -> Iterator[str]:
    """Yield a line on predictions and on test patients that are not in the zip."""
    present = {path.name.removesuffix(_PREDICTION_ENDING) for path in predictions.glob(f"*{_PREDICTION_ENDING}")}
    if extra := sorted(present - set(images)):
        yield f"  not included, since no test case is called so: {', '.join(extra)}"
    for each in report.excluded:
        if each.part == "testing":
            yield f"  not included, since left out when {dataset.name} was made: {each.patient} ({each.reason})"
