"""The page of `plausibility`: flagged cases, worst first, with pictures of their reconstruction by the prior."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from acnn_nnunet import __version__
from acnn_nnunet.fold_prior.coder import Coder
from acnn_nnunet.pages.overlays import draw_overlay, worst_slice
from acnn_nnunet.pages.page import figure_data_uri, format_number, new_figure, render_page
from acnn_nnunet.plausibility.calibration import Calibration
from acnn_nnunet.plausibility.scores import PredictionScores
from acnn_nnunet.plausibility.table import EMPTY, EXCLUDED, SCORED, PlausibilityRow, least_plausible_first

SCORE_TITLES = {
    "reconstruction_dice": "reconstruction Dice",
    "reconstruction_distance_mm": "reconstruction distance, mm",
    "mahalanobis": "distance of its code (Mahalanobis)",
    "image_disagreement": "distance from its image's code",
    "image_dice": "Dice with what the image's code decodes to",
    "rule_violation": "rules broken by, sum",
    "missing_labels": "labels missing",
}
DIGITS = {"reconstruction_dice": 3, "image_dice": 3, "rule_violation": 3, "missing_labels": 0}
_NUM_PICTURES, _NUM_UNCALIBRATED = 24, 12


@dataclass(frozen=True)
class KeptSlice:
    """One slice of a scored case on the prior's grid: where prediction and reconstruction differ most.

    Attributes:
        prediction, reconstruction: label maps (Y, X).
        image: (Y, X), if there is one.
        spacing_mm: of a pixel.
        label_names: by the values of the label maps.
    """

    prediction: np.ndarray
    reconstruction: np.ndarray
    image: np.ndarray | None
    spacing_mm: tuple[float, ...]
    label_names: dict[int, str]

    @classmethod
    def of(cls, scores: PredictionScores, coder: Coder) -> "KeptSlice | None":
        """Cut the slice out of what was scored; None where there is no reconstruction."""
        if scores.reconstruction is None:
            return None
        regions = coder.labels.regions
        prediction, reconstruction = (_painted(maps, regions) for maps in (scores.maps, scores.reconstruction))
        index, spacing_mm = worst_slice(prediction, [reconstruction], coder.geometry.spacing_mm)
        return cls(
            prediction[index].copy(),  # a view would keep the volume
            reconstruction[index].copy(),
            None if scores.image is None else scores.image[0].numpy()[index].copy(),
            tuple(spacing_mm),
            {channel + regions: name for channel, name in coder.names.items()},
        )


def render_plausibility_page(
    rows: Sequence[PlausibilityRow],
    slices: Mapping[str, KeptSlice],
    calibration: Calibration | None,
    *,
    calibrated_here: bool,
    score_names: Sequence[str],
    **about: Any,
) -> str:
    """Return the self-contained page.

    Args:
        rows: of all predictions.
        slices: of cases to draw.
        calibration: that they were judged by, if any.
        calibrated_here: whether the calibration was made from these very predictions.
        score_names: the scores that were taken.
        about: `folder` and `images` that were read, the `prior` and the names of the `rules`.
    """
    ordered = least_plausible_first(rows)
    scored = [row for row in ordered if row.status != EXCLUDED]
    shown = [row for row in scored if row.flagged] if calibration else scored[:_NUM_UNCALIBRATED]
    return render_page(
        "plausibility.html",
        version=__version__,
        rows=scored,
        excluded=[row for row in ordered if row.status == EXCLUDED],
        num_empty=sum(row.status == EMPTY for row in rows),
        with_truth=any(row.dice is not None for row in rows),
        calibration=calibration,
        weights={} if calibration is None else dict(zip(calibration.scores, calibration.weights, strict=True)),
        scatter=_draw_truth(rows, calibration) if calibration is not None and calibrated_here else None,
        score_names=list(score_names),
        score_titles=SCORE_TITLES,
        digits=DIGITS,
        broken={row.case: _broken(row) for row in scored},
        pictures=[
            {"case": row.case, "source": _draw(row.case, slices.get(row.case)), "caption": _caption(row)}
            for row in shown[:_NUM_PICTURES]
        ],
        num_shown=len(shown),
        **about,
    )


def _broken(row: PlausibilityRow) -> str:
    """Return the rules that a case breaks, the most broken first."""
    broken = sorted(((value, name) for name, value in row.violations.items() if value), reverse=True)
    return ", ".join(f"{name} ({value:.1%})" for value, name in broken)


def _caption(row: PlausibilityRow) -> str:
    words = [] if row.plausibility is None else [f"plausibility {row.plausibility:.3f}"]
    words += [] if row.dice is None else [f"true Dice {row.dice:.3f}"]
    words += [f"{SCORE_TITLES[name]} {format_number(row.scores[name], DIGITS.get(name, 2))}" for name in row.scores]
    words += ["nothing is predicted"] if row.status == EMPTY else []
    words += [f"breaks {broken}"] if (broken := _broken(row)) else []
    return f"{row.case}: {'; '.join(words)}"


def _draw(case: str, kept: KeptSlice | None) -> str:
    """Draw prediction and reconstruction over the image where there is one; empty where nothing was kept."""
    if kept is None:
        return ""
    return draw_overlay(
        kept.prediction,
        {case: kept.reconstruction},
        kept.spacing_mm,
        image=kept.image,
        label_names=kept.label_names,
        line_names=("prediction", "autoencoder"),
    )


def _painted(maps: Tensor, regions: bool) -> np.ndarray:
    """Return a label map (…) of hard maps (C, …): the class's channel, or 1 + the channel of the last region there."""
    if not regions:
        return maps.argmax(0).numpy().astype(np.uint16)
    numbers = np.arange(1, len(maps) + 1).reshape(-1, *(1,) * (maps.ndim - 1))
    return ((maps.numpy() > 0.5) * numbers).max(0).astype(np.uint16)


def _draw_truth(rows: Sequence[PlausibilityRow], calibration: Calibration) -> str:
    """Draw the true Dice of every case over its plausibility, and the lines that divide flagged and bad."""
    points = np.array([(row.plausibility, row.dice) for row in rows if row.status == SCORED and row.dice is not None])
    figure = new_figure(4.6, 4.2)
    axis = figure.subplots()
    axis.scatter(*points.T, s=14, color="#0072b2", alpha=0.7, lw=0)
    low = max(0.0, points.min() - 0.02)
    axis.plot([low, 1], [low, 1], color="#999", lw=0.8)
    axis.axvline(calibration.threshold, color="#cc3311", lw=1, label="flagged to the left")
    axis.axhline(calibration.bad_dice, color="#e69f00", lw=1, ls="--", label="bad below")
    axis.set(xlim=(low, 1), ylim=(low, 1), xlabel="plausibility, by a fit without the patient", ylabel="true mean Dice")
    axis.legend(fontsize=8, frameon=False, loc="lower right")
    return figure_data_uri(figure)
