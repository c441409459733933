"""Two folders of images, paired by file name and read onto one grid."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acnn_nnunet.files.folders import find_images
from acnn_nnunet.files.geometry import Geometry, longest_axis
from acnn_nnunet.files.on_demand import OnDemand
from acnn_nnunet.files.volumes import read_volume

CHANNEL_SUFFIX = "_0000"  # nnU-Net's name of the first channel


@dataclass(frozen=True)
class ImagePair:
    """The files of one case.

    Attributes:
        case: file name without ending and without `_0000`.
        reference: image file.
        prediction: image file; None where there is none.
        mask: image file, non-zero inside; None where there is none.
        masked: whether the comparison takes place inside a mask, which then must be there.
    """

    case: str
    reference: Path
    prediction: Path | None
    mask: Path | None = None
    masked: bool = False


@dataclass(frozen=True)
class ImageVolumes:
    """The voxels of a pair: float64 arrays `(Z, Y, X)` of one shape, and a bool mask or None.

    Attributes:
        reference: intensities.
        prediction: intensities.
        mask: True inside.
        spacing_mm: voxel size in array order.
    """

    reference: np.ndarray
    prediction: np.ndarray
    mask: np.ndarray | None
    spacing_mm: tuple[float, ...]

    @property
    def slice_axis(self) -> int:
        """The axis across the slices: the only one of length 1, else that of the longest voxels, else the first."""
        singletons = [axis for axis, size in enumerate(self.reference.shape) if size == 1]
        if len(singletons) == 1:
            return singletons[0]
        return longest_axis(self.spacing_mm)


def pair_images(
    reference: Path, prediction: Path, masks: Path | None = None
) -> tuple[Mapping[str, ImagePair], list[str]]:
    """Pair the images of two folders, and masks, by name; endings may differ, and `_0000` may be there or not.

    Returns:
        One pair for each reference, by case, and the names of predictions without a reference.

    Raises:
        FileNotFoundError: if a folder does not exist or holds no image.
        ValueError: if the folders are one, two files of a folder have the same name, or the folders no name in common.
    """
    expected, found = _images(reference), _images(prediction)
    if Path(reference).samefile(prediction):
        raise ValueError(f"{reference} was given as reference and as prediction.")
    inside: Mapping[str, Path] = {} if masks is None else _images(masks)
    namesakes = {name: _namesake(name, found) for name in expected}
    if not any(namesakes.values()):
        raise ValueError(
            f"No image of {reference} has a namesake in {prediction}: it is {min(expected)} and the like here, "
            f"{min(found)} and the like there."
        )
    names = {min(filter(None, (case, namesakes[name])), key=len): name for name, case in _cases(expected).items()}

    def pair(case: str) -> ImagePair:
        name = names[case]
        namesake = namesakes[name]
        return ImagePair(
            case=case,
            reference=expected[name],
            prediction=None if namesake is None else found[namesake],
            mask=inside.get(_namesake(name, inside) or ""),
            masked=masks is not None,
        )

    extra = found.keys() - set(namesakes.values())
    return OnDemand(names, pair), sorted(case for name, case in _cases(found).items() if name in extra)


def images_by_case(folder: Path) -> dict[str, Path]:
    """Return the images of a folder by case: the name without ending, and without `_0000` if all names end so.

    Raises:
        FileNotFoundError: if the folder does not exist or holds no image.
        ValueError: if two files have the same name.
    """
    images = _images(folder)
    return {case: images[name] for name, case in _cases(images).items()}


def read_pair(pair: ImagePair) -> ImageVolumes:
    """Read the images of a case.

    Raises:
        ValueError: in one sentence, if one is missing, unreadable, not 3-D, not finite or on another grid than the
            reference, or if the mask is empty.
    """
    if pair.prediction is None:
        raise ValueError("there is no prediction")
    reference = read_volume(pair.reference, dtype=np.float64)
    grid = reference.geometry
    prediction = _read_on_grid(pair.prediction, grid)
    mask = None
    if pair.masked:
        if pair.mask is None:
            raise ValueError("there is no mask")
        mask = _read_on_grid(pair.mask, grid) != 0
        if not mask.any():
            raise ValueError(f"the mask {pair.mask} is empty")
    return ImageVolumes(reference.values, prediction, mask, grid.spacing_mm)


def _images(folder: Path) -> Mapping[str, Path]:
    images = find_images(folder)
    for name in images:
        if (other := name + CHANNEL_SUFFIX) in images:
            raise ValueError(f"{folder} holds {name} twice, {images[name].name} and {images[other].name}: remove one.")
    return images


def _namesake(name: str, names: Collection[str]) -> str | None:
    """Return the same name, or the same with or without the channel; digits at the end may be the case's own number."""
    without = name.removesuffix(CHANNEL_SUFFIX)
    return next((each for each in (name, name + CHANNEL_SUFFIX, without) if each in names), None)


def _cases(names: Collection[str]) -> dict[str, str]:
    """Return the case of each name: without the channel, which is one if all names of the folder have it."""
    with_channel = all(name.endswith(CHANNEL_SUFFIX) for name in names)
    return {name: name.removesuffix(CHANNEL_SUFFIX) if with_channel else name for name in names}


def _read_on_grid(path: Path, grid: Geometry) -> np.ndarray:
    volume = read_volume(path, dtype=np.float64)
    if differences := volume.geometry.differences(grid):
        raise ValueError(f"{path} is not on its reference's grid: {'; '.join(differences)} (the reference's)")
    return volume.values
