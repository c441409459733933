"""Whether the arms of a comparison were scored against the same references."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from acnn_nnunet.evaluation.masks.scores import BOTH_EMPTY, SPURIOUS, LabelScores
from acnn_nnunet.files.geometry import SPACING_TOLERANCE

_Key = tuple[str, str]
_Noted = tuple[str, Mapping[str, Any]]  # an arm, and what it noted of a case
_REMEDY = "evaluate both against the same references."


def check_same_volumes(tables: Mapping[str, Mapping[_Key, LabelScores]]) -> None:
    """Raise ValueError unless each reference has the same volumes in all arms (arm to case and label to scores)."""
    (first, expected), *others = tables.items()
    for name, table in others:
        for (case, label), score in table.items():
            mine, theirs = expected[case, label].volume_reference_ml, score.volume_reference_ml
            empty = [s.status in (SPURIOUS, BOTH_EMPTY) for s in (expected[case, label], score)]
            same_volume = mine is None or theirs is None or np.isclose(mine, theirs, rtol=1e-6, atol=1e-9)
            if empty[0] != empty[1] or not same_volume:
                raise ValueError(
                    f"Case {case}, label {label}: the reference has {mine} ml in arm {first} and {theirs} ml in arm "
                    f"{name}: {_REMEDY}"
                )


def check_same_files(summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Check the references by what `evaluate` noted of them: voxels of each label, digest of all labels, voxel size.

    Args:
        summaries: arm to the content of its `summary.json`.

    Returns:
        The arms without digests, which an earlier version evaluated.

    Raises:
        ValueError: naming a case and two arms, if the references differ.
    """
    noted = {name: _cases(summary) for name, summary in summaries.items()}
    digests: dict[_Key, _Noted] = {}
    first, expected = next(iter(noted.items()))
    for name, found in noted.items():
        for case, mine in sorted(found.items()):
            _check_voxels(case, (first, expected.get(case, {})), (name, mine))
            if mine.get("reference_digest") is not None:
                # Readers of nnU-Net turn a label map in different ways.
                key = case, str(summaries[name].get("reader"))
                _check_digests(case, digests.setdefault(key, (name, mine)), (name, mine))
    return [name for name, cases in noted.items() if any(not case.get("reference_digest") for case in cases.values())]


def _cases(summary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {case["case"]: case for case in summary.get("metric_per_case") or () if "case" in case}


def _check_voxels(case: str, first: _Noted, other: _Noted) -> None:
    """Compare the voxels of each label: files such as PNG tell no volume."""
    mine, theirs = first[1].get("metrics", {}), other[1].get("metrics", {})
    for label in sorted(mine.keys() & theirs.keys()):
        counts = [metrics[label].get("n_ref") for metrics in (mine, theirs)]
        if None not in counts and counts[0] != counts[1]:
            raise ValueError(
                f"Case {case}, label {label}: the reference has {counts[0]} voxels in arm {first[0]} and {counts[1]} "
                f"in arm {other[0]}: {_REMEDY}"
            )


def _check_digests(case: str, first: _Noted, other: _Noted) -> None:
    (arm, mine), (name, theirs) = first, other
    size, other_size = mine.get("reference_spacing_mm"), theirs.get("reference_spacing_mm")
    if mine["reference_digest"] != theirs["reference_digest"]:
        what = "other voxels"
    elif size and other_size and not np.allclose(size, other_size, rtol=SPACING_TOLERANCE, atol=0):
        what = "another voxel size"
    else:
        return
    raise ValueError(f"Case {case}: the reference has {what} in arm {name} than in arm {arm}: {_REMEDY}")
