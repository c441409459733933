"""The page of `refine`: what changed, the most changed cases first, with pictures."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from acnn_nnunet.nnunet.label_files import LabelMap
from acnn_nnunet.pages.overlays import draw_overlay
from acnn_nnunet.pages.page import render_page
from acnn_nnunet.pages.viewer import CASE_BUDGET, against_reference, pack_case, viewer_block
from acnn_nnunet.refinement.calibration import Calibration, Trial
from acnn_nnunet.refinement.overview import Overview
from acnn_nnunet.refinement.table import RefinedRow

_NUM_PICTURES = 24
_BUDGET = 10 * CASE_BUDGET // _NUM_PICTURES  # characters per case of the viewer
WORDS = ("prediction", "refined")


def draw_changes(
    rows: Iterable[RefinedRow],
    read: Callable[[str], tuple[LabelMap, LabelMap]],
    *,
    label_names: Mapping[int, str],
    words: tuple[str, str] = WORDS,
) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """Return pictures of the most changed cases, in the slice where both label maps differ most, and viewer cases.

    Args:
        rows: the most changed first.
        read: from a case to prediction and result.
        label_names: by value.
        words: what prediction and result are called.
    """
    pictures, packed = [], []
    changed = (row for row in rows if row.changes.get("voxels"))
    for row in islice(changed, _NUM_PICTURES):
        try:
            before, after = read(row.case)
        except (KeyError, ValueError, OSError) as error:  # parts may be merged where the files are not
            reason = "its files are gone" if isinstance(error, KeyError) else str(error)
            told = f"{row.case}: no picture: {reason}"
            pictures.append({"case": row.case, "source": "", "caption": told, "viewer": ""})
            continue
        volumes, spacing_mm = (before.volume, after.volume), before.volume_spacing_mm
        source = draw_overlay(volumes[0], {row.case: volumes[1]}, spacing_mm, label_names=label_names, line_names=words)
        case = against_reference(
            row.case, volumes[0], {"": volumes[1]}, spacing_mm, label_names=label_names, words=words
        )
        packed.append(pack_case(case, budget=_BUDGET))
        pictures.append({"case": row.case, "source": source, "caption": _caption(row), "viewer": row.case})
    return pictures, packed


def render_refinement_page(
    template: str,
    overview: Overview,
    pictures: Sequence[Mapping[str, str]],
    packed: Sequence[dict[str, Any]],
    **about: Any,
) -> str:
    """Return the self-contained page.

    Args:
        template: `refinement.html` or `repair.html`.
        overview: of all cases.
        pictures: as `draw_changes` gives them.
        packed: the viewer's cases.
        about: `guarantee`, what is guaranteed, or None; of a refinement `prior`, `method` and `assumptions`, a
            sentence, or empty; of a repair `rules`.
    """
    return render_page(template, overview=overview, pictures=pictures, viewer=viewer_block(packed), **about)


def render_calibration_page(
    calibration: Calibration, trials: Sequence[Trial], *, labels: Sequence[str], prior: Any, folder: Path
) -> str:
    """Return the self-contained page of a calibration: its recipe, and what it gains on patients it has not seen."""
    return render_page(
        "refinement_calibration.html",
        calibration=calibration,
        bands=[
            (band, sum(t.resemblance <= band.resemblance and not t.spoilt for t in trials))
            for band in calibration.recipe.bands
        ],
        labels=labels,
        prior=prior,
        folder=folder,
    )


def _caption(row: RefinedRow) -> str:
    added, removed = row.changes["added_ml"], row.changes["removed_ml"]
    per_label = [f"{name} +{added[name]:.2f} −{removed[name]:.2f} ml" for name in added if added[name] or removed[name]]
    slices = f"slices {row.changes['first_slice']} to {row.changes['last_slice']}"
    told = [f"{row.case}: {row.changes['voxels']} voxels, {slices}", ", ".join(per_label), row.reason]
    return "; ".join(filter(None, told))
