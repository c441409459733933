"""Pictures of a reference and predictions laid over an image, on the slice where they differ most."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from acnn_nnunet.pages.page import LABEL_COLOURS, figure_data_uri, literal, new_figure

_MARGIN = 0.25  # of the anatomy's extent, shown around it
# Of the reference's outlines, and of the prediction's.
_LINE_STYLES: tuple[Literal["solid", "dashed"], ...] = ("solid", "dashed")


def draw_overlay(
    reference: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    spacing_mm: Sequence[float],
    *,
    image: np.ndarray | None = None,
    label_names: Mapping[int, str] | None = None,
    line_names: tuple[str, str] = ("reference", "prediction"),
) -> str:
    """Draw one panel a prediction, with the outlines of both label maps, and return it as a `data:` address.

    Args:
        reference: integers `(Z, Y, X)` or `(Y, X)`.
        predictions: label maps of the same shape by the title of their panel.
        spacing_mm: voxel size in array order.
        image: intensities of the same shape; None leaves the ground dark.
        label_names: names for the legend by label.
        line_names: what the legend calls solid and dashed outlines.
    """
    index, spacing_mm = worst_slice(reference, list(predictions.values()), spacing_mm)
    box = _box([label_map[index] for label_map in (reference, *predictions.values())])
    figure = new_figure(3.6 * len(predictions), 4.0)
    for axis, (title, prediction) in zip(
        figure.subplots(1, len(predictions), squeeze=False)[0], predictions.items(), strict=True
    ):
        ground = np.zeros(reference[index].shape) if image is None else image[index]
        axis.imshow(ground[box], cmap="gray", aspect=spacing_mm[0] / spacing_mm[1], interpolation="nearest")
        for label_map, style in zip((reference, prediction), _LINE_STYLES, strict=True):
            _draw_outlines(axis, label_map[index][box], style)
        axis.set_title(literal(title), fontsize=9)
        rows, columns = reference[index][box].shape
        axis.set(xticks=[], yticks=[], xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    _add_legend(figure, (reference, *predictions.values()), label_names or {}, line_names)
    return figure_data_uri(figure, dpi=90)


def worst_slice(
    reference: np.ndarray, predictions: list[np.ndarray], spacing_mm: Sequence[float]
) -> tuple[Any, Sequence[float]]:
    """Return the index of the slice across the coarsest axis with most differing voxels, and its pixel size."""
    if reference.ndim == 2:
        return ..., spacing_mm
    axis = int(np.argmax(spacing_mm))
    others = tuple(each for each in range(3) if each != axis)
    differing = sum(np.count_nonzero(reference != prediction, axis=others) for prediction in predictions)
    shown = differing if np.any(differing) else np.count_nonzero(reference, axis=others)
    return (slice(None),) * axis + (int(np.argmax(shown)),), [spacing_mm[each] for each in others]


def _box(slices: list[np.ndarray]) -> tuple[slice, ...]:
    """Return the box around everything drawn, with a margin; the whole slice where nothing is."""
    found = np.argwhere(np.any([each > 0 for each in slices], axis=0))
    if not len(found):
        return (slice(None),) * slices[0].ndim
    low, high = found.min(0), found.max(0) + 1
    margin = np.maximum(3, _MARGIN * (high - low)).astype(int)
    return tuple(slice(max(0, start), stop) for start, stop in zip(low - margin, high + margin, strict=True))


def _draw_outlines(axis: Any, labels: np.ndarray, style: str) -> None:
    for label in np.unique(labels[labels > 0]):
        # A frame of background closes the outline of what touches the edge.
        mask = np.pad(labels == label, 1).astype(float)
        rows, columns = (np.arange(-1, n + 1) for n in labels.shape)
        axis.contour(columns, rows, mask, levels=[0.5], colors=[_colour(label)], linestyles=style, linewidths=1.3)


def _add_legend(
    figure: Any, label_maps: Sequence[np.ndarray], names: Mapping[int, str], line_names: tuple[str, str]
) -> None:
    from matplotlib.lines import Line2D

    labels = sorted({int(label) for label_map in label_maps for label in np.unique(label_map) if label > 0})
    handles = [Line2D([], [], color=_colour(label), label=literal(names.get(label, str(label)))) for label in labels]
    for style, name in zip(_LINE_STYLES, line_names, strict=True):
        handles.append(Line2D([], [], color="#777", linestyle=style, label=name))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(3 * len(figure.axes), len(handles)),
        fontsize=8,
        frameon=False,
    )


def _colour(label: int) -> str:
    return LABEL_COLOURS[(int(label) - 1) % len(LABEL_COLOURS)]
