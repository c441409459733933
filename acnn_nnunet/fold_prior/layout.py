"""Which way round a dataset's volumes lie: nnU-Net does not look, and a shape prior's code is another in a mirror."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK
from nnunetv2.configuration import ANISO_THRESHOLD

_MOST_FILES = 32


@dataclass(frozen=True)
class Layout:
    """Axes and orientation of a prior's training cases, which every other case must share.

    Attributes:
        dataset: its name.
        axes: 3 of a prior of volumes, 2 of one of slices.
        transpose: the plans' order of a file's axes.
        spacing_mm: median of the training cases, transposed; None where the plans do not tell.
        orientation: such as LPS; None where it is unknown.
    """

    dataset: str
    axes: int
    transpose: tuple[int, ...]
    spacing_mm: tuple[float, ...] | None
    orientation: str | None

    def check(
        self, file: Path, shape: Sequence[int], spacing_mm: Sequence[float], direction: Sequence[float] | None
    ) -> None:
        """Refuse a file that lies another way than the training cases.

        Args:
            file: to be named.
            shape: of its voxels, axes as the host's reader gives them.
            spacing_mm: of three axes, in the same order.
            direction: cosines of its axes, where they are known.

        Raises:
            ValueError: naming the file and the remedy.
        """
        slices = 1 if len(shape) == 2 else shape[0]
        if self.axes == 3 and slices == 1:
            raise ValueError(f"{file} has one slice, the prior of {self.dataset} is of volumes.")
        if slices > 1 and self.spacing_mm is not None:
            self._check_thick_axis(file, [float(spacing_mm[axis]) for axis in self.transpose], self.spacing_mm)
        own = orientation_of(direction)
        if own and self.orientation and own != self.orientation:
            raise ValueError(
                f"{file} lies {own}, the prior's training cases of {self.dataset} lie {self.orientation}: "
                "reorient it, voxels and header, as with SimpleITK.DICOMOrient."
            )

    def _check_thick_axis(self, file: Path, own_mm: Sequence[float], planned_mm: Sequence[float]) -> None:
        if min(max(spacing) / min(spacing) for spacing in (own_mm, planned_mm)) < ANISO_THRESHOLD:
            return
        if int(np.argmax(own_mm)) != int(np.argmax(planned_mm)):
            raise ValueError(
                f"{file} has its thick slices along another axis than the prior's training cases "
                f"({', '.join(f'{s:g}' for s in own_mm)} mm, theirs {', '.join(f'{s:g}' for s in planned_mm)} mm): "
                "permute its axes."
            )


def orientation_of(direction: Sequence[float] | None) -> str | None:
    """Return the nearest anatomical orientation, such as LPS, of direction cosines of three axes; None of others."""
    if direction is None or len(direction) != 9:
        return None
    cosines = [float(value) for value in direction]
    return SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(cosines)


def common_orientation(files: Sequence[Path]) -> str | None:
    """Return the orientation that the volumes of the files share, as 32 headers evenly among them say.

    None if they differ, or none can be read: then nothing is known.
    """
    chosen = sorted({int(index) for index in np.linspace(0, len(files) - 1, min(_MOST_FILES, len(files))).round()})
    found = {_orientation_of_file(files[index]) for index in chosen} - {None}
    return found.pop() if len(found) == 1 else None


def _orientation_of_file(path: Path) -> str | None:
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    return orientation_of(reader.GetDirection()) if reader.GetDimension() == 3 else None
