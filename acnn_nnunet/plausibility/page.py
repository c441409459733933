"""The page of `plausibility`: what was flagged, worst first, with pictures of what the prior makes of it."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from acnn_nnunet import __version__
from acnn_nnunet.pages.overlays import draw_overlay
from acnn_nnunet.pages.page import figure_data_uri, format_number, new_figure, render_page
from acnn_nnunet.plausibility.calibration import Calibration
from acnn_nnunet.plausibility.inputs import Predictions
from acnn_nnunet.plausibility.scores import PlausibilityScorer, PredictionScores
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


def render_plausibility_page(
    rows: Sequence[PlausibilityRow],
    scorer: PlausibilityScorer,
    predictions: Predictions,
    calibration: Calibration | None,
    *,
    score_names: Sequence[str],
    calibrated_here: bool,
) -> str:
    """Return the self-contained page.

    Args:
        rows: of all predictions.
        scorer: that scored them; those that are shown are read again.
        predictions: where the files lie.
        calibration: that they were judged by, if any.
        score_names: the scores that were taken.
        calibrated_here: whether the calibration was made of these very predictions.
    """
    ordered = least_plausible_first(rows)
    scored = [row for row in ordered if row.status != EXCLUDED]
    shown = [row for row in scored if row.flagged] if calibration else scored[:_NUM_UNCALIBRATED]
    return render_page(
        "plausibility.html",
        version=__version__,
        folder=predictions.folder,
        images=predictions.images,
        prior=scorer.coder.prior,
        rules=[rule.name for rule in scorer.rules],
        rows=scored,
        excluded=[row for row in ordered if row.status == EXCLUDED],
        num_empty=sum(row.status == EMPTY for row in rows),
        with_truth=any(row.dice is not None for row in rows),
        calibration=calibration,
        calibrated_here=calibrated_here,
        weights={} if calibration is None else dict(zip(calibration.scores, calibration.weights, strict=True)),
        scatter=_draw_truth(rows, calibration) if calibration is not None and calibrated_here else None,
        score_names=list(score_names),
        score_titles=SCORE_TITLES,
        digits=DIGITS,
        broken={row.case: _broken(row) for row in scored},
        pictures=[_picture(row, scorer, predictions) for row in shown[:_NUM_PICTURES]],
        num_shown=len(shown),
    )


def _broken(row: PlausibilityRow) -> str:
    """Return the rules that a case breaks, the most broken first."""
    broken = sorted(((value, name) for name, value in row.violations.items() if value), reverse=True)
    return ", ".join(f"{name} ({value:.1%})" for value, name in broken)


def _picture(row: PlausibilityRow, scorer: PlausibilityScorer, predictions: Predictions) -> dict[str, str]:
    """Return name, picture (empty where there is nothing to show) and caption of a case."""
    words = [] if row.plausibility is None else [f"plausibility {row.plausibility:.3f}"]
    words += [] if row.dice is None else [f"true Dice {row.dice:.3f}"]
    words += [f"{SCORE_TITLES[name]} {format_number(row.scores[name], DIGITS.get(name, 2))}" for name in row.scores]
    words += ["nothing is predicted"] if row.status == EMPTY else []
    words += [f"breaks {broken}"] if (broken := _broken(row)) else []
    caption = f"{row.case}: {'; '.join(words)}"
    if row.status == EMPTY:
        return {"case": row.case, "source": "", "caption": caption}
    try:
        prediction = scorer.read(predictions.label_file(row.case))
        scores = scorer.score(prediction, image_files=predictions.image_files(row.case))
    except (ValueError, OSError) as error:  # it was there a moment ago
        return {"case": row.case, "source": "", "caption": f"{caption}; no picture: {error}"}
    return {"case": row.case, "source": _draw(row.case, scores, scorer), "caption": caption}


def _draw(case: str, scores: PredictionScores, scorer: PlausibilityScorer) -> str:
    """Draw prediction and reconstruction on the prior's grid, over the image where there is one."""
    assert scores.reconstruction is not None
    regions = scorer.coder.labels.regions
    return draw_overlay(
        _painted(scores.maps, regions=regions),
        {case: _painted(scores.reconstruction, regions=regions)},
        scorer.coder.geometry.spacing_mm,
        image=None if scores.image is None else scores.image[0].numpy(),
        label_names={channel + regions: name for channel, name in scorer.coder.names.items()},
        line_names=("prediction", "autoencoder"),
    )


def _painted(maps: Tensor, *, regions: bool) -> np.ndarray:
    """Return a label map (…) of hard maps (C, …): a class's channel, or 1 + that of the last region that is there."""
    if not regions:
        return maps.argmax(0).numpy()
    numbers = np.arange(1, len(maps) + 1).reshape(-1, *(1,) * (maps.ndim - 1))
    return ((maps.numpy() > 0.5) * numbers).max(0)


def _draw_truth(rows: Sequence[PlausibilityRow], calibration: Calibration) -> str:
    """True Dice of every case over its plausibility, and the lines that divide flagged and bad."""
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
