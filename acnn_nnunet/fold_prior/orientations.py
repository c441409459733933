"""Which way round a dataset's volumes lie: nnU-Net does not look, and a shape prior's code is another in a mirror."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK

_MOST_FILES = 32


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
