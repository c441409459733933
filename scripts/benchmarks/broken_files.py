"""Eight ways in which an image file is spoilt."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any


def empty(path: Path) -> None:
    """Leave nothing of a file."""
    path.write_bytes(b"")


def cut_off(path: Path) -> None:
    """Leave half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damaged(path: Path) -> None:
    """Flip bytes in the middle of a file."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(255 - byte for byte in content[middle : middle + 8])
    path.write_bytes(bytes(content))


def no_image(path: Path) -> None:
    """Write a text under an image's name."""
    path.write_bytes(gzip.compress(b"no image at all"))


def other_grid(path: Path) -> None:
    """Write fewer slices."""
    rewrite(path, lambda values: values[1:])


def other_spacing(path: Path) -> None:
    """Write another spacing."""
    rewrite(path, lambda values: values, spacing_factor=2.0)


def half_labels(path: Path) -> None:
    """Write labels that are no whole numbers."""
    rewrite(path, lambda values: values.astype("float32") * 0.5)


def negative_labels(path: Path) -> None:
    """Write negative labels."""
    rewrite(path, lambda values: values.astype("int16") - 1)


def rewrite(path: Path, change: Callable[[Any], Any], *, spacing_factor: float = 1.0) -> None:
    """Write a label map with other values, or another spacing."""
    import SimpleITK

    image = SimpleITK.ReadImage(str(path))
    changed = SimpleITK.GetImageFromArray(change(SimpleITK.GetArrayFromImage(image)))
    changed.SetSpacing([spacing_factor * mm for mm in image.GetSpacing()])
    SimpleITK.WriteImage(changed, str(path), True)


BREAKS = (empty, cut_off, damaged, no_image, other_grid, half_labels, negative_labels, other_spacing)
