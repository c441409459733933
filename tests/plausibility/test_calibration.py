"""A calibration's file, and verdicts by hand."""

import json
import math
from dataclasses import replace

import pytest

from acnn_nnunet.plausibility.calibration import Calibration, StructureCalibration
from acnn_nnunet.plausibility.estimates import Line, Regression, StructureEstimator
from acnn_nnunet.plausibility.novelty import Cloud, Novelty
from acnn_nnunet.plausibility.table import Estimate, PlausibilityRow, Structure


def by_hand(*, always_there=True):
    """At no distance the odds are 3 to 1, one of e - 1 mm makes them even."""
    spread, errors = Line((0.0,), 1.0), ((0.0,),) * 9
    dice, distance = (Regression(Line((n * math.log(3),), math.log(3)), spread, 0.1, errors) for n in (-1, 1))
    estimator = StructureEstimator(("members_distance_mm",), (0.0,), (1.0,), dice, distance, level=0.9)
    known = StructureCalibration(estimator, bad_dice=0.4, threshold=0.5, always_there=always_there)
    novelty = Novelty({"LV": Cloud(("volume_ml",), (math.log(100),), (0.5,), ((1.0,),))}, limit=2.0)
    return Calibration({"LV": known}, ("members",), 0.9, 0.9, 0.4, threshold=0.5, novelty=novelty)


def row(*, far=0.0, present=True, case="a", volume_ml=100.0):
    structures = {"LV": Structure(present, {"volume_ml": volume_ml}), "RV": Structure(True)}
    return PlausibilityRow(case, "scored", structures, {"members_distance_mm": math.expm1(far)}, diagonal_mm=50.0)


def test_a_verdict_by_hand():
    judged = by_hand().judged([row(), row(far=1.0, case="b"), row(present=False, case="c")])
    assert [each.plausibility for each in judged] == pytest.approx([3 / 4, 1 / 2, 0])
    assert [each.flagged for each in judged] == [False, True, True]  # at the threshold is flagged
    assert judged[1].structures["LV"].shortfall == pytest.approx({"members_distance_mm": math.log(3)})
    assert judged[2].structures["LV"].expected_hausdorff_mm == (50, 50, 50)
    assert judged[0].structures["RV"].expected_dice is None  # the calibration does not know it


def test_a_missing_structure_that_need_not_be_there_says_nothing():
    (judged,) = by_hand(always_there=False).judged([row(present=False)])
    assert (judged.plausibility, judged.flagged) == (None, None)


def test_the_case_follows_from_its_structures():
    parts = {
        "LV": Structure(True, expected_dice=Estimate(0.9, 0.8, 1), flagged=False),
        "RV": Structure(True, expected_dice=Estimate(0.5, 0.4, 0.6), flagged=True),
    }
    row = PlausibilityRow("a", "scored", parts)
    low, high = (replace(by_hand(), threshold=each) for each in (0.65, 0.75))
    assert [each.with_verdict(row, {}).flagged for each in (low, high)] == [False, True]
    assert low.with_verdict(row, {}).plausibility == pytest.approx(0.7)
    assert low.with_verdict(row, {}).unusual is None
    missing = Structure(False, expected_dice=Estimate(0, 0, 0), flagged=True)
    never = replace(by_hand(), threshold=0.1)
    assert never.with_verdict(PlausibilityRow("a", "scored", {**parts, "MYO": missing}), {}).flagged


def test_an_unusual_case_is_flagged_however_plausible_it_is():
    # A standard deviation is half a logarithm: 100 e ml lie 2 of them away, half the volume 1.39.
    volumes = (100.0, 50.0, 100 * math.e, 300.0, 20.0)
    judged = by_hand().judged([row(volume_ml=each, case=str(each)) for each in volumes])
    assert [each.novelty for each in judged] == pytest.approx([abs(math.log(each / 100)) / 0.5 for each in volumes])
    assert [each.unusual for each in judged[:2] + judged[3:]] == [False, False, True, True]
    assert [each.flagged for each in judged[:2] + judged[3:]] == [False, False, True, True]
    assert all(each.plausibility == pytest.approx(3 / 4) for each in judged)
    assert judged[3].strangest_structure == "LV"


def test_a_calibration_comes_back_from_its_file():
    calibration = by_hand()
    assert (
        Calibration.from_plain(json.loads(json.dumps(calibration.as_plain())), where="calibration.json") == calibration
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"format_version": 1},
            "another version of acnn-nnunet (format 1 instead of 4): calibrate again",
        ),
        ({"structures": {}}, "is damaged"),
        ({"structures": {"LV": {}}}, "is damaged"),
        ({"structures": None}, "is damaged"),
        ({"surplus": 1}, "is damaged"),
    ],
)
def test_a_damaged_or_old_file_is_refused(changes, message):
    with pytest.raises(ValueError, match=r"calibration\.json") as error:
        Calibration.from_plain({**by_hand().as_plain(), **changes}, where="calibration.json")
    assert message in str(error.value)
    assert "--calibrate" in str(error.value)
    nan = replace(by_hand().structures["LV"], threshold=float("nan"))
    with pytest.raises(ValueError, match="do not fit together"):
        Calibration.from_plain(replace(by_hand(), structures={"LV": nan}).as_plain(), where="x")
    with pytest.raises(ValueError, match="is no calibration that acnn-nnunet wrote"):
        Calibration.from_plain([], where="x")
