"""Two folders of images, paired by file name and read onto one grid."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.safe_writes import gzip_size

FILE_ENDINGS = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".tif", ".tiff")
CHANNEL_SUFFIX = "_0000"  # nnU-Net's name of the first channel

# Voxels as long as the longest but for rounding are equally long.
_SPACING_TOLERANCE = 1e-3


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
        longest = max(self.spacing_mm)
        return next(axis for axis, size in enumerate(self.spacing_mm) if size >= longest * (1 - _SPACING_TOLERANCE))


def pair_images(reference: Path, prediction: Path, masks: Path | None = None) -> tuple[list[ImagePair], list[str]]:
    """Pair the images of two folders, and masks, by name; endings may differ, and `_0000` may be there or not.

    Returns:
        One pair for each reference, and the names of predictions without a reference.

    Raises:
        FileNotFoundError: if a folder does not exist or holds no image.
        ValueError: if two files of a folder have the same name, or the folders no name in common.
    """
    expected, found = _images(reference), _images(prediction)
    inside = {} if masks is None else _images(masks)
    if not expected.keys() & found.keys():
        raise ValueError(
            f"No image of {reference} has a namesake in {prediction}: it is {min(expected)} and the like here, "
            f"{min(found)} and the like there."
        )
    pairs = [
        ImagePair(case, path, found.get(case), inside.get(case), masked=masks is not None)
        for case, path in expected.items()
    ]
    return pairs, sorted(found.keys() - expected.keys())


def read_pair(pair: ImagePair) -> ImageVolumes:
    """Read the images of a case.

    Raises:
        ValueError: in one sentence, if one is missing, unreadable, not 3-D, not finite or on another grid than the
            reference, or if the mask is empty.
    """
    if pair.prediction is None:
        raise ValueError("there is no prediction")
    reference, grid = _read(pair.reference)
    prediction = _read_on_grid(pair.prediction, grid)
    mask = None
    if pair.masked:
        if pair.mask is None:
            raise ValueError("there is no mask")
        mask = _read_on_grid(pair.mask, grid) != 0
        if not mask.any():
            raise ValueError(f"the mask {pair.mask} is empty")
    return ImageVolumes(reference, prediction, mask, grid.spacing_mm)


def _images(folder: Path) -> dict[str, Path]:
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"The folder {folder} does not exist.")
    images: dict[str, Path] = {}
    for path in sorted(Path(folder).iterdir()):
        ending = next((ending for ending in FILE_ENDINGS if path.name.lower().endswith(ending)), None)
        if ending is None or path.name.startswith(".") or not path.is_file():
            continue
        case = path.name[: -len(ending)].removesuffix(CHANNEL_SUFFIX)
        if case in images:
            raise ValueError(f"{folder} holds {case} twice, {images[case].name} and {path.name}: remove one.")
        images[case] = path
    if not images:
        raise FileNotFoundError(f"{folder} holds no image; the endings known are {', '.join(FILE_ENDINGS)}.")
    return images


def _read_on_grid(path: Path, grid: Geometry) -> np.ndarray:
    values, found = _read(path)
    if differences := found.differences(grid):
        raise ValueError(f"{path} is not on its reference's grid: {'; '.join(differences)} (the reference's)")
    return values


def _read(path: Path) -> tuple[np.ndarray, Geometry]:
    try:
        if path.name.lower().endswith(".gz"):
            gzip_size(path)
        header = SimpleITK.ImageFileReader()
        header.SetFileName(str(path))
        header.ReadImageInformation()
        if header.GetDimension() != 3 or header.GetNumberOfComponents() != 1:
            raise ValueError(
                f"{path} has {header.GetDimension()} axes and {header.GetNumberOfComponents()} values a voxel; one 3-D "
                "image of one channel is wanted"
            )
        values = _read_nifti(path) if _is_nifti(path) else SimpleITK.GetArrayFromImage(header.Execute())
    except (RuntimeError, OSError, EOFError) as error:
        reason = str(error).strip().splitlines()[-1].split("ERROR: ")[-1]
        raise ValueError(f"{path} cannot be read ({reason})") from error
    values = values.astype(np.float64).reshape(tuple(reversed(header.GetSize())))
    if bad := values.size - np.count_nonzero(np.isfinite(values)):
        raise ValueError(f"{path} has {bad} voxels that are not finite")
    grid = Geometry(
        size=values.shape,
        spacing_mm=tuple(reversed(header.GetSpacing())),
        origin_mm=header.GetOrigin(),
        direction=header.GetDirection(),
    )
    return values, grid


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz"))


def _read_nifti(path: Path) -> np.ndarray:
    """Return the voxels with nibabel: ITK reads NaN, infinity and what a truncated file lacks as 0, without a word."""
    import nibabel

    image: Any = nibabel.load(path)
    return image.get_fdata(dtype=np.float64).T
