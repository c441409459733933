"""How thick a stack's slices are, where its NIfTI header or the JSON file of its DICOM conversion tells it.

Slice spacing is the distance of neighbouring centres; slices thinner than it leave gaps, thicker ones overlap.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acnn_nnunet.files.folders import image_ending
from acnn_nnunet.files.headers import read_nifti_header
from acnn_nnunet.files.safe_writes import read_text, write_json

MOST_SPACINGS = 2.0  # that a slice is thick
_TOLERANCE = 0.01  # of a length, between two places that tell it
_IN_HEADER = re.compile(rb"slice\s*thickness\s*[=:]?\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)", re.IGNORECASE)
THICKNESS_KEY, SPACING_KEY = "SliceThickness", "SpacingBetweenSlices"


def sidecar_of(path: Path) -> Path:
    """Return where dcm2niix writes what DICOM said of an image: under its name, with the ending .json."""
    return path.with_name(f"{path.name.removesuffix(image_ending(path))}.json")


def told_thickness_mm(path: Path, spacing_mm: float) -> float | None:
    """Return how thick a stack's slices are; None where nothing tells it.

    The header tells it as text such as `SliceThickness=8` in its field descrip, the sidecar `CASE_0000.json` as
    `SliceThickness`.

    Args:
        path: of the stack, NIfTI.
        spacing_mm: of its slices, by the header.

    Raises:
        ValueError: naming the file, if header and sidecar disagree, the thickness cannot be, or the sidecar is no JSON.
    """
    sidecar = sidecar_of(path)
    told = _read(sidecar) if sidecar.is_file() else {}
    spacing = _length(told, SPACING_KEY, sidecar)
    if spacing is not None and not _same(spacing, spacing_mm):
        raise ValueError(
            f"{path} has a slice every {spacing_mm:.4g} mm by its header and every {spacing:.4g} mm by {sidecar.name} "
            f"({SPACING_KEY}): correct the one that is wrong."
        )
    found = _IN_HEADER.search(bytes(read_nifti_header(path)["descrip"]))
    in_header = _length({THICKNESS_KEY: float(found[1])}, THICKNESS_KEY, path) if found else None
    thickness = _length(told, THICKNESS_KEY, sidecar)
    if in_header is not None and thickness is not None and not _same(in_header, thickness):
        raise ValueError(
            f"{path} has slices of {in_header:.4g} mm by its header and of {thickness:.4g} mm by {sidecar.name}: "
            "correct the one that is wrong."
        )
    thickness = in_header if thickness is None else thickness
    if thickness is not None:
        check_thickness(thickness, spacing_mm, what=f"{path} has slices of")
    return thickness


def told_thickness_of_channels_mm(paths: Sequence[Path], spacing_mm: float) -> float | None:
    """Return how thick a stack's slices are by its channels, as `told_thickness_mm` does for one.

    Raises:
        ValueError: naming the file, as there, or if two channels disagree.
    """
    told = {path: thickness for path in paths if (thickness := told_thickness_mm(path, spacing_mm)) is not None}
    first = next(iter(told.items()), None)
    for path, thickness in told.items():
        if first is not None and not _same(thickness, first[1]):
            raise ValueError(
                f"{path} has slices of {thickness:.4g} mm and {first[0].name} of {first[1]:.4g} mm, which are channels "
                "of one stack: correct the one that is wrong."
            )
    return None if first is None else first[1]


def check_thickness(thickness_mm: float, spacing_mm: float, *, what: str) -> None:
    """Raise ValueError, beginning with `what`, if slices are more than twice as thick as they are apart."""
    if thickness_mm > MOST_SPACINGS * spacing_mm * (1 + _TOLERANCE):
        raise ValueError(
            f"{what} {thickness_mm:.4g} mm, more than twice their spacing of {spacing_mm:.4g} mm: correct the "
            "thickness, or the spacing of the slices."
        )


def sidecar_content(thickness_mm: float, spacing_mm: float) -> dict[str, float]:
    """Return what a simulated stack's sidecar holds."""
    return {THICKNESS_KEY: round(thickness_mm, 6), SPACING_KEY: round(spacing_mm, 6)}


def write_sidecar(path: Path, thickness_mm: float | None, spacing_mm: float) -> None:
    """Write the sidecar of a simulated stack; without a thickness, remove one that was written for an earlier stack."""
    sidecar = sidecar_of(path)
    if thickness_mm is not None:
        write_json(sidecar, sidecar_content(thickness_mm, spacing_mm))
    elif sidecar.is_file() and set(_read(sidecar)) == {THICKNESS_KEY, SPACING_KEY}:
        sidecar.unlink()


def _read(sidecar: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(sidecar))
    except ValueError as error:
        raise ValueError(f"{sidecar} is no JSON ({error}): mend or remove it.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{sidecar} holds no JSON object: mend or remove it.")
    return content


def _length(content: dict[str, Any], key: str, where: Path) -> float | None:
    value = content.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ValueError(f"{where} says {key} is {value!r}: a length in mm is wanted, or leave it out.")
    return float(value)


def _same(first: float, second: float) -> bool:
    return abs(first - second) <= _TOLERANCE * max(first, second)
