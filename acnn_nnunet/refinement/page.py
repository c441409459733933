"""The page of `refine`: what changed, the most changed cases first, with pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acnn_nnunet import __version__
from acnn_nnunet.fold_prior.coder import Coder
from acnn_nnunet.pages.overlays import draw_overlay
from acnn_nnunet.pages.page import render_page
from acnn_nnunet.refinement.calibration import Calibration, Trial
from acnn_nnunet.refinement.predictions import PredictionFiles
from acnn_nnunet.refinement.table import RefinedRow

_NUM_PICTURES = 24


def most_changed_first(rows: Sequence[RefinedRow]) -> list[RefinedRow]:
    """Return rows in the order of looking at them: the less of the anatomy is common to both, the earlier."""
    return sorted(rows, key=lambda row: (row.changes.get("dice", 2.0), row.case))


def draw_changes(
    rows: Sequence[RefinedRow], cases: Mapping[str, PredictionFiles], output: Path, coder: Coder
) -> list[dict[str, str]]:
    """Draw the slice of each of the most changed cases where prediction and refined label map differ most.

    Args:
        rows: of all cases.
        cases: the predictions' files.
        output: folder of the refined label maps.
        coder: whose reader reads them.
    """
    pictures = []
    changed = [row for row in most_changed_first(rows) if row.changes.get("voxels")]
    for row in changed[:_NUM_PICTURES]:
        before = coder.reader.read(cases[row.case].label)
        after = coder.reader.read(output / cases[row.case].label.name)
        source = draw_overlay(
            before.volume,
            {row.case: after.volume},
            before.volume_spacing_mm,
            label_names={value: name for name, value in coder.prior.spec.labels.items() if isinstance(value, int)},
            line_names=("prediction", "refined"),
        )
        pictures.append({"case": row.case, "source": source, "caption": _caption(row)})
    return pictures


def render_refinement_page(rows: Sequence[RefinedRow], pictures: Sequence[Mapping[str, str]], **about: Any) -> str:
    """Return the self-contained page.

    Args:
        rows: of all cases.
        pictures: as `draw_changes` gives them.
        about: `prior`, `method` and `assumptions`, a sentence, or empty.
    """
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    return render_page(
        "refinement.html",
        version=__version__,
        rows=most_changed_first(rows),
        counts=counts,
        pictures=pictures,
        num_changed=sum(bool(row.changes.get("voxels")) for row in rows),
        **about,
    )


def render_calibration_page(calibration: Calibration, trials: Sequence[Trial], *, prior: Any, folder: Path) -> str:
    """Return the self-contained page of a calibration: its recipe, and what it gains on patients it has not seen."""
    return render_page(
        "refinement_calibration.html",
        version=__version__,
        calibration=calibration,
        bands=[
            (band, sum(t.resemblance <= band.resemblance and not t.spoilt for t in trials))
            for band in calibration.recipe.bands
        ],
        labels=sorted({label for band in calibration.recipe.bands if band.step for label in band.step.mixes}),
        prior=prior,
        folder=folder,
    )


def _caption(row: RefinedRow) -> str:
    added, removed = row.changes["added_ml"], row.changes["removed_ml"]
    per_label = [f"{name} +{added[name]:.2f} −{removed[name]:.2f} ml" for name in added if added[name] or removed[name]]
    slices = f"slices {row.changes['first_slice']} to {row.changes['last_slice']}"
    return f"{row.case}: {row.changes['voxels']} voxels, {slices}; {', '.join(per_label)}"
