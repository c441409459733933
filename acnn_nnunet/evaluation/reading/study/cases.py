"""The cases of a reading study: found in the folders of all arms, read, and checked against each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acnn_nnunet.evaluation.images.pairs import images_by_case
from acnn_nnunet.files.geometry import DIRECTION_TOLERANCE, Geometry
from acnn_nnunet.files.volumes import Volume, check_same_grid, read_volume

# Arms whose intensities differ more than this would be told apart by their brightness.
_LARGEST_RATIO = 2.0
_PERCENTILES = (1, 99)
_MOST_LABELS = 16  # distinct whole numbers, up to which an "image" is taken for a label map


@dataclass(frozen=True)
class StudyFolders:
    """Where the images of a study lie.

    Attributes:
        arms: folder of each arm, by its name.
        reference: folder of the references.
        inputs: folder of the images that the arms started from, on any grid, if they are to be shown.
        images: folder of images that label maps are drawn over; None where the arms are images.
    """

    arms: Mapping[str, Path]
    reference: Path
    inputs: Path | None = None
    images: Path | None = None


@dataclass(frozen=True)
class CaseFiles:
    """The files of a case; `inputs` and `image` are None where the study has no such folder."""

    case: str
    arms: dict[str, Path]
    reference: Path
    inputs: Path | None
    image: Path | None


@dataclass(frozen=True)
class StudyCase:
    """The volumes of a case, all but `inputs` on one grid.

    Attributes:
        arms: by name; label maps are integers.
        reference: as the arms.
        inputs: image that the arms started from.
        inputs_offset_mm: of its first voxel's outer edge from the reference's, in array order.
        image: that label maps are drawn over.
    """

    arms: dict[str, np.ndarray]
    reference: Volume
    inputs: Volume | None = None
    inputs_offset_mm: tuple[float, ...] = (0.0, 0.0, 0.0)
    image: Volume | None = None


def find_cases(folders: StudyFolders) -> list[CaseFiles]:
    """Return the files of each case of the arms, sorted by name.

    Raises:
        FileNotFoundError: if a folder does not exist or holds no image.
        ValueError: if arms have different cases, or another folder lacks one; names folder and case.
    """
    arms = {name: images_by_case(folder) for name, folder in folders.arms.items()}
    first, cases = next(iter(arms.items()))
    for name, found in arms.items():
        for has, lacks in (((first, cases), (name, found)), ((name, found), (first, cases))):
            if missing := sorted(has[1].keys() - lacks[1].keys()):
                raise ValueError(
                    f"The arms have different cases: {folders.arms[lacks[0]]} ({lacks[0]}) lacks {_listed(missing)}, "
                    f"which {has[0]} has. Give all arms the same cases."
                )
    others = {}
    for what, folder in (("reference", folders.reference), ("input", folders.inputs), ("image", folders.images)):
        others[what] = None if folder is None else images_by_case(folder)
        if missing := sorted(cases.keys() - (others[what] or cases).keys()):
            raise ValueError(f"{folder} has no {what} of {_listed(missing)}: each case of the arms needs one.")
    references, inputs, images = others["reference"] or {}, others["input"] or {}, others["image"] or {}
    return [
        CaseFiles(case, {name: arms[name][case] for name in arms}, references[case], inputs.get(case), images.get(case))
        for case in sorted(cases)
    ]


def read_case(files: CaseFiles) -> StudyCase:
    """Read the volumes of a case and check that a reader can compare them.

    Raises:
        ValueError: naming the file, if it cannot be read, has two axes, or lies on another grid than the reference; if
            arms differ in their range of intensities, or are label maps without an image to lie over.
    """
    reference = read_volume(files.reference)
    arms = {name: _on_grid(path, reference, files.reference) for name, path in files.arms.items()}
    if files.image is None:
        _refuse_labels(files, reference.values, arms)
        _check_intensities(files, arms)
    else:
        reference = Volume(_labels(reference.values, files.reference), reference.geometry)
        arms = {name: _labels(values, files.arms[name]) for name, values in arms.items()}
    image = None
    if files.image is not None:
        image = Volume(_on_grid(files.image, reference, files.reference), reference.geometry)
    if files.inputs is None:
        return StudyCase(arms, reference, image=image)
    inputs = read_volume(files.inputs)
    offset_mm = _offset_mm(inputs.geometry, reference.geometry, files)
    return StudyCase(arms, reference, inputs, offset_mm, image)


def _listed(cases: list[str]) -> str:
    return cases[0] if len(cases) == 1 else f"{cases[0]} and {len(cases) - 1} more"


def _on_grid(path: Path, reference: Volume, reference_path: Path) -> np.ndarray:
    volume = read_volume(path)
    check_same_grid(volume.geometry, str(path), reference.geometry, str(reference_path))
    return volume.values


def _labels(values: np.ndarray, path: Path) -> np.ndarray:
    if values.dtype.kind not in "iu" and (values != np.rint(values)).any():
        raise ValueError(f"{path} holds fractions: with --images the arms and the reference are label maps.")
    return values.astype(np.int64, copy=False)


def _refuse_labels(files: CaseFiles, reference: np.ndarray, arms: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError if arms and reference hold a few whole numbers only."""
    for values in (reference, *arms.values()):
        found = np.unique(values)
        if len(found) > _MOST_LABELS or (found != np.rint(found)).any():
            return
    raise ValueError(f"{files.reference} and its arms seem to be label maps: give the images below them with --images.")


def _check_intensities(files: CaseFiles, arms: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError if the central 98 % of the intensities are wider in one arm, or lie elsewhere."""
    ranges = {name: np.percentile(values, _PERCENTILES) for name, values in arms.items()}
    first, (low, high) = next(iter(ranges.items()))
    for name, (own_low, own_high) in ranges.items():
        widths = sorted((high - low, own_high - own_low))
        shift = abs((own_low + own_high) - (low + high)) / 2
        if widths[1] > _LARGEST_RATIO * widths[0] or shift > widths[1]:
            raise ValueError(
                f"{files.arms[name]} ({name}) has intensities from {own_low:.4g} to {own_high:.4g}, {first} from "
                f"{low:.4g} to {high:.4g}: readers would tell the arms by their brightness. Bring them to one range."
            )


def _offset_mm(inputs: Geometry, reference: Geometry, files: CaseFiles) -> tuple[float, ...]:
    """Return where the first voxel of an input begins, seen from that of the reference, along the array's axes."""
    # ITK tells origin and direction of every volume.
    assert inputs.origin_mm is not None
    assert inputs.direction is not None
    assert reference.origin_mm is not None
    assert reference.direction is not None
    direction = np.reshape(reference.direction, (3, 3))
    if not np.allclose(inputs.direction, reference.direction, rtol=0, atol=DIRECTION_TOLERANCE):
        raise ValueError(f"{files.inputs} has other axes than {files.reference}: resample it to the same directions.")
    between_mm = (direction.T @ np.subtract(inputs.origin_mm, reference.origin_mm))[::-1]
    offset_mm = between_mm + (np.array(reference.spacing_mm) - inputs.spacing_mm) / 2
    ends_mm = offset_mm + np.multiply(inputs.size, inputs.spacing_mm)
    if (ends_mm <= 0).any() or (offset_mm >= np.multiply(reference.size, reference.spacing_mm)).any():
        raise ValueError(f"{files.inputs} lies elsewhere than {files.reference}: they have no voxel in common.")
    return tuple(float(each) for each in offset_mm)
