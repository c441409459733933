"""The page of `plausibility`: cases, reasons and sentences that rows alone can give."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from acnn_nnunet.plausibility.calibration import Calibration
from acnn_nnunet.plausibility.page import PageParts, cases_to_show, reasons, recommendation, render_plausibility_page
from acnn_nnunet.plausibility.slices import KeptSlice
from acnn_nnunet.plausibility.table import Estimate, PlausibilityRow, Structure

PRIOR = SimpleNamespace(path="p.pth", spec=SimpleNamespace(dataset="D", fold=0))
PARTS = PageParts(Path("F"), (), PRIOR, False, ("LV",), ("members_dice",), ("mahalanobis",), ("r", "s"))
FALLS = {
    "members_dice": 2.0,
    "rule_violation": 0.25,
    "mahalanobis": 0.5,
    "thinness_per_mm": 0.1,
    "members_distance_mm": -1,
}
STRUCTURE = Structure(
    True,
    {"members_dice": 0.71, "rule_violation": 0.1, "members_distance_mm": 1.0},
    expected_dice=Estimate(0.61, 0.45, 0.74),
    expected_hausdorff_mm=Estimate(12.0, 8.0, 20.0),
    flagged=True,
    shortfall=FALLS,
)
ROW = PlausibilityRow(
    "a", "scored", {"LV": STRUCTURE}, {"mahalanobis": 2.345}, {"r": 0.25, "s": 0.0}, None, 9.0, 4, 0.61, True
)
ORDER = {"auroc_worst_tenth": 0.9, "spearman_dice": 0.8, "spearman_hausdorff": -0.8}


def calibrated(aurc, **alone):
    return Calibration(
        {},
        ("members", "prior"),
        0.9,
        0.9,
        0.5,
        0.6,
        measured={
            "cases": 40,
            "patients": 20,
            **ORDER,
            "aurc": aurc,
            "flagged_share": 0.1,
            "unusual_share": 0.05,
            "found_share_of_bad": None,
            "bad_share_of_flagged": None,
            "reviews": [],
            "review_sentence": "Review the worst 10 % and …",
            "alone": {name: {**ORDER, "aurc": value} for name, value in alone.items()},
        },
    )


def test_the_three_largest_contributions_say_why():
    found = reasons(ROW)
    assert found == [
        "Dice between members 0.710",
        "distance of the code (Mahalanobis) 2.35",
        "rules broken by, sum 0.100",
    ]
    missing = replace(STRUCTURE, present=False, expected_dice=Estimate(0, 0, 0))
    assert reasons(replace(ROW, structures={"LV": missing})) == ["LV is missing"]
    assert reasons(PlausibilityRow("e", "empty")) == []


@pytest.mark.parametrize("kept", [True, False])
def test_the_page_says_case_structure_slice_and_why(kept):
    maps = np.zeros((3, 4, 4))
    slices = {"a": KeptSlice.of(maps, maps + 1, (8.0, 1.0, 1.0), label_names={1: "LV"})} if kept else {}
    page = render_plausibility_page([ROW], slices, calibrated(0.1), PARTS)
    assert page.count("<img") == kept
    for words in ("<b>a</b>, LV, slice 4", "0.61 (0.45 to 0.74); 12.0 (8.0 to 20.0)", "why: Dice between members 0.710",
                  "breaks r (25.0%)", "Review the worst 10 %", "<b>1 are flagged.</b>"):  # fmt: skip
        assert words in page


def test_a_prediction_unlike_the_calibrations_is_said_to_be():
    strange = replace(ROW, unusual=True, structures={"LV": replace(STRUCTURE, novelty=7.25)})
    words = "unlike the calibration&#39;s predictions: LV (novelty 7.2)"
    page = render_plausibility_page([strange], {}, calibrated(0.1), PARTS)
    assert words in page
    assert "1 of them are unlike the calibration's predictions" in page
    assert words not in render_plausibility_page([replace(strange, unusual=False)], {}, calibrated(0.1), PARTS)


def test_without_a_calibration_the_page_says_so():
    bare = replace(ROW, plausibility=None, flagged=None, structures={"LV": Structure(True)})
    page = render_plausibility_page([bare, PlausibilityRow("x", "excluded", reason="torn")], {}, None, PARTS)
    assert "Without a calibration nothing says how low is too low" in page
    assert "<b>x</b>: torn" in page
    assert "no shape prior" not in page
    alone = render_plausibility_page([bare], {}, None, replace(PARTS, prior=None, members=(Path("m1"), Path("m2"))))
    assert "the disagreement of 2 members" in alone
    assert "no shape prior" in alone


def test_flagged_cases_are_shown_and_the_first_ones_without_a_calibration():
    rows = [replace(ROW, case=f"c{n:02}", plausibility=n / 100, flagged=n < 2) for n in range(30)]
    assert cases_to_show(rows, calibrated(0.1)) == ["c00", "c01"]
    assert len(cases_to_show(rows, None)) == 12


def test_a_source_that_does_as_well_alone_is_recommended():
    assert recommendation(calibrated(0.1, members=0.11, prior=0.2)) == ""
    assert recommendation(calibrated(0.1)) == ""
    assert recommendation(calibrated(0.1, members=0.1, prior=0.2)).startswith("Members alone order the calibration")


def test_many_labels_make_no_page_that_nobody_can_open():
    names = tuple(f"organ{n}" for n in range(200))
    rows = [replace(ROW, case=f"c{n}", structures=dict.fromkeys(names, STRUCTURE)) for n in range(150)]
    parts = replace(PARTS, structure_names=names)
    page = render_plausibility_page(rows, {}, calibrated(0.1), parts)
    assert "The first 49 of 150; plausibility.csv has" in page  # 20000 // (5 + 200 · 2 + 1)
    assert page.count("0.61 (0.45 to 0.74)") == 24 * 12
