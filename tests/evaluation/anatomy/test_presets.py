"""The sets of rules."""

import numpy as np
from short_axis import rule_violations

from acnn_nnunet.evaluation.anatomy.presets import PRESETS
from acnn_nnunet.evaluation.anatomy.rules import parse_rules

NAMES = {"RV": (1,), "MYO": (2,), "LV": (3,)}


def test_a_short_axis_heart_keeps_the_set_and_one_cut_open_does_not():
    y, x = np.mgrid[:40, :48]
    heart = np.zeros((40, 48), dtype=np.uint8)
    heart[(y - 20) ** 2 + (x - 14) ** 2 <= 10**2] = 1
    heart[(y - 20) ** 2 + (x - 28) ** 2 <= 12**2] = 2
    heart[(y - 20) ** 2 + (x - 28) ** 2 <= 7**2] = 3
    rules = parse_rules(PRESETS["acdc"], names=NAMES, where="acdc")
    kept = rule_violations(heart, rules, label_values=NAMES, spacing_mm=(1.5, 1.5))
    assert len(kept) == 16
    assert set(kept.values()) == {0.0}
    heart[18:23, 33:] = 0  # the wall is open, and the filled myocardium has a bay
    broken = rule_violations(heart, rules, label_values=NAMES, spacing_mm=(1.5, 1.5))
    assert {name for name, value in broken.items() if value} == {
        "LV no_contact background in_plane",
        "MYO concavity 0 in_plane",
    }
