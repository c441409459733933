"""A round short-axis heart, RV 1, MYO 2, LV 3, and rules for it."""

import numpy as np

from acnn_nnunet.evaluation.anatomy.rules import check_rules

NAMES = {"RV": (1,), "MYO": (2,), "LV": (3,)}
SPACING_MM = (10.0, 1.5, 1.5)
EIGHT_RULES = [
    {"rule": "one_piece", "label": "RV"},
    {"rule": "one_piece", "label": "MYO"},
    {"rule": "one_piece", "label": "LV"},
    {"rule": "no_holes", "label": "RV", "in_plane": True},
    {"rule": "no_holes", "label": ["MYO", "LV"], "in_plane": True},
    {"rule": "enclosed_by", "label": "LV", "other": "MYO", "in_plane": True},
    {"rule": "touches", "label": "LV", "other": "MYO", "in_plane": True},
    {"rule": "touches", "label": "RV", "other": "MYO", "in_plane": True},
]
"""Rules about volume and slices, as earlier versions declared them for ACDC."""


def short_axis(slices=3):
    """Return a label map `(slices, 40, 48)` that keeps the rules of the set acdc."""
    y, x = np.mgrid[:40, :48]
    plane = np.zeros((40, 48), dtype=np.uint8)
    plane[(y - 20) ** 2 + (x - 14) ** 2 <= 10**2] = 1
    plane[(y - 20) ** 2 + (x - 28) ** 2 <= 12**2] = 2
    plane[(y - 20) ** 2 + (x - 28) ** 2 <= 7**2] = 3
    return np.repeat(plane[None], slices, axis=0)


def rule_violations(values, rules, **about):
    """Return by how much a label map breaks each rule, by its name; arguments as in `check_rules`."""
    return {check.rule.name: check.violation for check in check_rules(values, rules, **about)}
