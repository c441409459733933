"""Views of maps around their foreground: boxes, planes, painted masks, outlines over an image."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from acnn_nnunet.files.geometry import longest_axis
from acnn_nnunet.pages.drawing import grey_image, line, outline, svg_data_uri, text, text_width
from acnn_nnunet.pages.page import LABEL_COLOURS

_MARGIN = 0.25  # of the anatomy's extent, shown around it
# Of the reference's outlines, and of the prediction's.
_LINE_STYLES: tuple[Literal["solid", "dashed"], ...] = ("solid", "dashed")
# More outlines hide each other, and colours come round again.
_MOST_LABELS = 16
# Of a picture, in pixels.
_PANEL_WIDTH, _HEIGHT, _TITLE_HEIGHT, _SIDE = 324, 360, 24, 4
_ROW_HEIGHT, _KEY_WIDTH, _SMALL = 13, 26, 10


@dataclass(frozen=True)
class Plane:
    """A plane through a volume.

    Attributes:
        index: of the plane in arrays of the volume's shape.
        aspect: height of a pixel over its width.
        height: of the whole plane over its width, in mm.
    """

    index: tuple[Any, ...]
    aspect: float
    height: float


def draw_overlay(
    reference: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    spacing_mm: Sequence[float],
    *,
    image: np.ndarray | None = None,
    label_names: Mapping[int, str] | None = None,
    line_names: Sequence[str] = ("reference", "prediction"),
) -> str:
    """Draw one panel per prediction, with the outlines of both label maps, and return it as a `data:` address.

    The slice is the one where they differ most; of many labels those that differ most there are outlined.

    Args:
        reference: integers `(Z, Y, X)` or `(Y, X)`.
        predictions: label maps of the same shape by the title of their panel.
        spacing_mm: voxel size in array order.
        image: intensities of the same shape; None leaves the ground dark.
        label_names: names for the legend by label.
        line_names: what the legend calls solid and dashed outlines; one where there is nothing to compare with.
    """
    index, spacing_mm = worst_slice(reference, list(predictions.values()), spacing_mm)
    slices = [label_map[index] for label_map in (reference, *predictions.values())]
    box = _box(slices)
    labels = _labels_to_outline((reference, *predictions.values()), slices)
    shown = np.zeros(slices[0].shape, np.uint8) if image is None else image[index]
    ground = f'<defs><g id="ground">{grey_image(shown[box])}</g></defs>'
    legend_height, legend = _legend(labels, label_names or {}, line_names, num_panels=len(predictions))
    pieces = [ground]
    for number, (title, prediction) in enumerate(predictions.items()):
        outlines = [
            outline(label_map[box] == label, colour=_colour(label), style=style)
            for label_map, style in zip((slices[0], prediction[index]), _LINE_STYLES, strict=True)
            for label in np.intersect1d(label_map, labels)
        ]
        middle = (number + 0.5) * _PANEL_WIDTH
        top, scale = _fit(slices[0][box].shape, spacing_mm[0] / spacing_mm[1], _HEIGHT - _TITLE_HEIGHT - legend_height)
        left = middle - scale[0] * slices[0][box].shape[1] / 2
        frame = f"translate({left:.5g} {_TITLE_HEIGHT + top:.5g}) scale({scale[0]:.5g} {scale[1]:.5g})"
        pieces.append(text(middle, _TITLE_HEIGHT + top - 6, title, size=11))
        pieces.append(f'<g transform="{frame}"><use href="#ground"/>{"".join(outlines)}</g>')
    width = _PANEL_WIDTH * len(predictions)
    return svg_data_uri(width, _HEIGHT, [*pieces, *legend])


def _fit(shape: tuple[int, ...], aspect: float, height: float) -> tuple[float, tuple[float, float]]:
    """Return the top edge of a slice in the middle of its panel, and the pixels that a voxel is wide and high.

    Args:
        shape: voxels (rows, columns).
        aspect: height of a voxel over its width.
        height: of the panel in pixels.
    """
    rows, columns = shape
    scale = min((_PANEL_WIDTH - 2 * _SIDE) / columns, height / (rows * aspect))
    return (height - scale * rows * aspect) / 2, (scale, scale * aspect)


def worst_slice(
    reference: np.ndarray, predictions: list[np.ndarray], spacing_mm: Sequence[float]
) -> tuple[Any, Sequence[float]]:
    """Return the index of the slice across the coarsest axis with most differing voxels, and its pixel size."""
    if reference.ndim == 2:
        return ..., spacing_mm
    axis = longest_axis(spacing_mm)
    others = tuple(each for each in range(3) if each != axis)
    differing = sum(np.count_nonzero(reference != prediction, axis=others) for prediction in predictions)
    shown = differing if np.any(differing) else np.count_nonzero(reference, axis=others)
    return (slice(None),) * axis + (int(np.argmax(shown)),), [spacing_mm[each] for each in others]


def box_around(mask: np.ndarray, *, margin: int = 0, margin_share: float = 0.0) -> tuple[slice, ...]:
    """Return the box around the foreground of a mask, within the array; the whole array where the mask is empty.

    Args:
        mask: bool.
        margin: voxels around the foreground, at least.
        margin_share: the same as a share of the foreground's extent.
    """
    found = np.argwhere(mask)
    if not len(found):
        return (slice(None),) * mask.ndim
    low, high = found.min(0), found.max(0) + 1
    around = np.maximum(margin, margin_share * (high - low)).astype(int)
    return tuple(slice(int(max(0, a)), int(b)) for a, b in zip(low - around, high + around, strict=True))


def middle_planes(mask: np.ndarray, spacing_mm: Sequence[float], axes: Iterable[int] | None = None) -> list[Plane]:
    """Return the planes through the middle of the foreground of a mask `(Z, Y, X)`; of `(Y, X)` the one there is.

    Args:
        mask: bool.
        spacing_mm: voxel size in array order.
        axes: that the planes lie across; None takes all three.
    """
    voxels = np.argwhere(mask)
    middle = (voxels.min(0) + voxels.max(0)) // 2 if len(voxels) else np.array(mask.shape) // 2
    across: Iterable[int | None] = (None,) if mask.ndim == 2 else range(3) if axes is None else axes
    planes = []
    for axis in across:
        rows, columns = (each for each in range(mask.ndim) if each != axis)
        index = tuple(int(middle[each]) if each == axis else slice(None) for each in range(mask.ndim))
        aspect = spacing_mm[rows] / spacing_mm[columns]
        planes.append(Plane(index, aspect, mask.shape[rows] / mask.shape[columns] * aspect))
    return planes


def paint_masks(masks: np.ndarray, *, opacity: float = 1.0, ground: float = 0.0) -> np.ndarray:
    """Return an RGBA picture (…, 4) of masks (K, …) in the colours of their labels; of several the last is seen.

    Args:
        masks: bool.
        opacity: of the colours.
        ground: value of all four channels elsewhere: 0 is transparent, 1 white.
    """
    from matplotlib.colors import to_rgba

    picture = np.full((*masks.shape[1:], 4), ground)
    for index, mask in enumerate(masks):
        picture[mask] = to_rgba(_colour(index + 1), opacity)
    return picture


def number_masks(masks: np.ndarray) -> np.ndarray:
    """Return a label map (…) of bool masks (K, …), numbered from 1; where several are, the last counts, as painted."""
    labels = np.zeros(masks.shape[1:], np.uint16)
    for number, mask in enumerate(masks, start=1):
        labels[mask] = number
    return labels


def draw_outline(axis: Any, mask: np.ndarray, *, colour: str, width: float = 1.3) -> None:
    """Draw the outline of a bool mask `(Y, X)`, closed where it touches the edge; nothing for an empty one."""
    if mask.any():
        closed = np.pad(mask, 1).astype(float)
        rows, columns = (np.arange(-1, n + 1) for n in mask.shape)
        axis.contour(columns, rows, closed, levels=[0.5], colors=[colour], linewidths=width)


def _box(slices: list[np.ndarray]) -> tuple[slice, ...]:
    return box_around(np.any([each > 0 for each in slices], axis=0), margin=3, margin_share=_MARGIN)


def _labels_of(label_maps: Iterable[np.ndarray]) -> list[int]:
    return sorted({int(label) for label_map in label_maps for label in np.unique(label_map) if label > 0})


def _labels_to_outline(label_maps: Sequence[np.ndarray], slices: Sequence[np.ndarray]) -> list[int]:
    """Return all labels; of too many those that differ most on the slice shown."""
    labels = _labels_of(label_maps)
    if len(labels) <= _MOST_LABELS:
        return labels
    reference, *predictions = slices
    differing = {
        label: sum(np.count_nonzero((reference == label) != (each == label)) for each in predictions)
        for label in _labels_of(slices)
    }
    return sorted(sorted(differing, key=lambda label: -differing[label])[:_MOST_LABELS])


def _legend(
    labels: Sequence[int], names: Mapping[int, str], line_names: Sequence[str], *, num_panels: int
) -> tuple[float, list[str]]:
    """Return the height of a legend at the bottom, in columns, and its pieces."""
    entries = [(_colour(label), "solid", names.get(label, str(label))) for label in labels]
    entries += [("#777", style, name) for style, name in zip(_LINE_STYLES, line_names, strict=False)]
    width = _PANEL_WIDTH * num_panels
    column_width = _KEY_WIDTH + max(text_width(name, size=_SMALL) for _, _, name in entries) + 12
    num_columns = max(1, min(3 * num_panels, len(entries), int(width // column_width)))
    num_rows = -(-len(entries) // num_columns)
    top, left = _HEIGHT - num_rows * _ROW_HEIGHT - 4, (width - num_columns * column_width) / 2
    pieces = []
    for place, (colour, style, name) in enumerate(entries):
        column, row = divmod(place, num_rows)
        x, y = left + column * column_width, top + (row + 0.5) * _ROW_HEIGHT
        pieces.append(line((x, x + _KEY_WIDTH - 6), (y, y), colour=colour, width=1.6, style=style))
        pieces.append(text(x + _KEY_WIDTH, y + 0.35 * _SMALL, name, size=_SMALL, anchor="start"))
    return _HEIGHT - top + 4, pieces


def _colour(label: int) -> str:
    return LABEL_COLOURS[(int(label) - 1) % len(LABEL_COLOURS)]
