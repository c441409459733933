"""The page of `evaluate-sr`: the table, and the worst images with their differences."""

import heapq
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from acnn_nnunet.evaluation.images import image_quality
from acnn_nnunet.evaluation.images.pairs import ImagePair, ImageVolumes, read_pair
from acnn_nnunet.evaluation.images.scores import METRICS, NEGATIVE_NOTE, OK, ImageScore
from acnn_nnunet.pages.overlays import draw_outline
from acnn_nnunet.pages.page import figure_data_uri, format_number, new_figure, render_page

_NUM_WORST = 5


def render_report(summary: dict[str, Any], scores: Iterable[ImageScore], pairs: Mapping[str, ImagePair]) -> str:
    """Return a self-contained page.

    Args:
        summary: content of `summary.json`.
        scores: rows of `images.csv`.
        pairs: the files of each case; those of the worst are read again.
    """
    pictures = []
    for score in worst_scores(scores):
        volumes = read_pair(pairs[score.case])
        index = worst_slice(volumes, data_range=score.data_range or 1.0)
        caption = f"{score.case}, slice {index + 1} of {volumes.reference.shape[volumes.slice_axis]}: SSIM "
        caption += f"{format_number(score.ssim_3d)} (3-D), {format_number(score.ssim_slices)} (mean over slices)"
        caption += f", PSNR {format_number(score.psnr_db, 1)} dB"
        source = figure_data_uri(draw_slice(volumes, index), dpi=90)
        pictures.append({"case": score.case, "source": source, "caption": caption})
    return render_page(
        "super_resolution.html",
        summary=summary,
        metrics=METRICS,
        negative_note=NEGATIVE_NOTE,
        pictures=pictures,
    )


def worst_scores(scores: Iterable[ImageScore]) -> list[ImageScore]:
    """Return the cases with the lowest slice-wise SSIM, worst first; by PSNR where no slice holds a window."""
    different = (score for score in scores if score.status == OK)

    def quality(score: ImageScore) -> tuple[float, float]:
        return (1.0 if score.ssim_slices is None else score.ssim_slices, score.psnr_db or 0.0)

    return heapq.nsmallest(_NUM_WORST, different, key=quality)


def worst_slice(volumes: ImageVolumes, *, data_range: float) -> int:
    """Return the slice with the lowest SSIM, or the largest difference where no slice holds a window."""
    axis = volumes.slice_axis
    ssims = image_quality.slice_ssims(
        volumes.reference, volumes.prediction, axis=axis, data_range=data_range, mask=volumes.mask
    )
    if any(value is not None for value in ssims):
        return int(np.nanargmin(np.array(ssims, dtype=float)))
    others = tuple(each for each in range(3) if each != axis)
    return int(np.argmax(np.abs(volumes.prediction - volumes.reference).sum(axis=others)))


def draw_slice(volumes: ImageVolumes, index: int) -> Any:
    """Return a matplotlib figure of a slice: reference, prediction, prediction − reference, with the mask's outline."""
    axis = volumes.slice_axis
    reference, prediction = (image.take(index, axis=axis) for image in (volumes.reference, volumes.prediction))
    inside = None if volumes.mask is None else volumes.mask.take(index, axis=axis)
    rows_mm, columns_mm = (size for each, size in enumerate(volumes.spacing_mm) if each != axis)
    low, high = reference.min(), reference.max()
    largest = np.abs(prediction - reference).max()
    panels = (
        ("reference", reference, {"cmap": "gray", "vmin": low, "vmax": high}),
        ("prediction", prediction, {"cmap": "gray", "vmin": low, "vmax": high}),
        ("prediction − reference", prediction - reference, {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}),
    )
    figure = new_figure(9.0, 3.2)
    for axes, (title, values, style) in zip(figure.subplots(1, 3), panels, strict=True):
        shown = axes.imshow(values, aspect=rows_mm / columns_mm, interpolation="nearest", **style)
        if inside is not None and not inside.all():
            draw_outline(axes, inside, colour="#e69f00", width=0.8)
        axes.set_title(title, fontsize=9)
        axes.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=figure.axes, shrink=0.8)
    return figure
