"""Sets of anatomical rules that go by a name, wherever rules are declared."""

from typing import Any

_IN_PLANE = {"in_plane": True}

ACDC: list[dict[str, Any]] = [
    *({"rule": "no_pockets", "label": name, **_IN_PLANE} for name in ("LV", "RV")),
    {"rule": "no_pockets", "label": "MYO", "other": "LV", **_IN_PLANE},
    *({"rule": "one_piece", "label": name, **_IN_PLANE} for name in ("LV", "RV", "MYO")),
    {"rule": "no_gap", "label": "LV", "other": "MYO", **_IN_PLANE},
    {"rule": "no_gap", "label": "RV", "other": "MYO", **_IN_PLANE},
    {"rule": "adjoins", "label": "RV", "other": "MYO", **_IN_PLANE},
    {"rule": "no_contact", "label": "LV", "other": "RV", **_IN_PLANE},
    {"rule": "no_contact", "label": "LV", "other": "background", **_IN_PLANE},
    {"rule": "concavity", "label": "LV", "limit": 4, **_IN_PLANE},
    {"rule": "concavity", "label": "RV", "limit": 30, **_IN_PLANE},
    {"rule": "concavity", "label": "MYO", "limit": 0, **_IN_PLANE},
    {"rule": "circularity", "label": "LV", "limit": 0.2, **_IN_PLANE},
    {"rule": "circularity", "label": "MYO", "limit": 0.2, **_IN_PLANE},
]
"""Sixteen criteria for each slice of short-axis cardiac MR: Painchaud et al., "Cardiac segmentation with strong
anatomical guarantees", IEEE TMI 39(11), 2020, with the limits that its authors publish."""

PRESETS = {"acdc": ACDC}
