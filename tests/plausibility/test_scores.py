"""Scores of single predictions without a prior, true ones among them, against figures worked out here."""

import json
from dataclasses import replace

import numpy as np
import pytest
from label_folders import DIAGONAL_MM, heart, write_dataset, write_labels

from acnn_nnunet.casewise.recorded import stamp_of
from acnn_nnunet.plausibility.scores import Prediction, Scorer
from acnn_nnunet.plausibility.slices import KeptSlice
from acnn_nnunet.plausibility.subject import subject_of_dataset

RULES = [{"rule": "one_piece", "label": "LV"}, {"rule": "one_piece", "label": "RV"}]


@pytest.fixture
def scorer(tmp_path):
    return Scorer(subject_of_dataset(write_dataset(tmp_path, anatomical_rules=RULES), None), num_members=2)


def files(tmp_path, values, *members, reference=None):
    written = [write_labels(tmp_path / f"m{n}" / "a.nii.gz", each) for n, each in enumerate(members)]
    truth = None if reference is None else write_labels(tmp_path / "gt" / "a.nii.gz", reference)
    return Prediction("a", write_labels(tmp_path / "pred" / "a.nii.gz", values), tuple(written), (), truth)


def test_sources_and_names(scorer):
    assert scorer.sources == ("members", "rules")
    assert scorer.structure_scores == ("members_dice", "members_distance_mm", "rule_violation")
    assert scorer.structure_columns == (*scorer.structure_scores, "volume_ml")
    assert scorer.case_scores == ()


def test_members_rules_and_truth_of_a_case(scorer, tmp_path):
    values = heart()
    values[1, 11, 0] = 2  # a piece of its own of the LV, which has 2 · 4 · 4 voxels
    row, kept = scorer.score(files(tmp_path, values, heart(), heart(1), reference=heart()))
    lv, rv = row.structures["LV"], row.structures["RV"]
    assert lv.scores["rule_violation"] == pytest.approx(1 / 33)
    assert lv.scores["members_dice"] == pytest.approx(0.75)  # shifted by one of four columns
    sizes = {name: rv.scores[name] for name in ("volume_ml", "thinness_per_mm")}
    assert rv.scores == {"members_dice": 1, "members_distance_mm": 0, "rule_violation": 0, **sizes}
    assert lv.dice == pytest.approx(2 * 32 / 65)
    assert (rv.dice, rv.hausdorff_mm, rv.in_reference) == (1, 0, True)
    assert row.dice == pytest.approx((1 + 64 / 65) / 2)
    assert (row.status, row.scores, row.outside_share) == ("scored", {}, None)
    # The prediction and the shifted member differ most; both slices differ, the first one by the piece as well.
    assert (row.slice_number, kept.line, kept.label_names) == (2, "member", {1: "RV", 2: "LV"})


def test_rules_alone_show_the_slice_that_breaks_most_of_them(tmp_path):
    in_plane = [{**rule, "in_plane": True} for rule in RULES]
    alone = Scorer(subject_of_dataset(write_dataset(tmp_path, anatomical_rules=in_plane), None))
    values = heart()
    values[1, 0, 0] = values[2, 0, 0] = 2  # both slices break LV's rule, the second one RV's too
    values[2, 11, 9] = 1
    case = files(tmp_path, values)

    row, kept = alone.score(case)
    compared = alone.compare(case)

    assert (row.slice_number, kept.number, kept.other, kept.line) == (3, 3, None, "")
    assert np.array_equal(kept.prediction, values[2])
    assert (compared.number, compared.other) == (2, None)
    again = KeptSlice.from_plain(json.loads(json.dumps(kept.as_plain())))
    assert again.other is None
    assert again.draw("a").startswith("data:image/svg+xml")
    empty = files(tmp_path, np.zeros_like(values))
    assert alone.score(empty)[1] is None
    assert alone.compare(empty) is None


def test_a_missing_label_is_a_miss(scorer, tmp_path):
    values = np.where(heart() == 1, 0, heart()).astype(np.uint8)
    row, _ = scorer.score(files(tmp_path, values, values, values, reference=heart()))
    rv = row.structures["RV"]
    assert (rv.present, rv.in_reference, rv.dice, rv.hausdorff_mm) == (False, True, 0, pytest.approx(DIAGONAL_MM))
    assert (row.dice, row.diagonal_mm) == (pytest.approx(0.5), pytest.approx(DIAGONAL_MM))
    assert row.violations["RV one_piece"] is None


def test_no_member_agrees_to_what_the_prediction_alone_has(scorer, tmp_path):
    without = np.where(heart() == 1, 0, heart()).astype(np.uint8)
    row, _ = scorer.score(files(tmp_path, heart(), without, without))
    rv, lv = row.structures["RV"].scores, row.structures["LV"].scores
    # Without a score it would count as badness 0: as if all members had drawn the same.
    assert (rv["members_dice"], rv["members_distance_mm"]) == (0, pytest.approx(DIAGONAL_MM))
    assert (lv["members_dice"], lv["members_distance_mm"]) == (1, 0)


def test_an_empty_prediction_is_empty(scorer, tmp_path):
    empty = np.zeros_like(heart())
    row, _ = scorer.score(files(tmp_path, empty, empty, heart()))
    assert (row.status, row.structures["LV"].present) == ("empty", False)
    with pytest.raises(ValueError, match="neither it nor its reference holds a label"):
        scorer.score(files(tmp_path, empty, empty, heart(), reference=empty))


def test_members_of_other_cases_grids_or_labels_are_refused(scorer, tmp_path):
    case = files(tmp_path, heart(), heart(), heart())
    with pytest.raises(FileNotFoundError, match=r"the member .*m9 holds no a\.nii\.gz"):
        scorer.score(replace(case, members=(case.members[0], tmp_path / "m9" / "a.nii.gz")))
    write_labels(case.members[1], heart()[:3])
    with pytest.raises(ValueError, match=r"the member .*m1/a\.nii\.gz .* than the prediction: size"):
        scorer.score(case)
    write_labels(case.members[1], heart() + 5)
    with pytest.raises(ValueError, match="holds the label 5, which the dataset does not have"):
        scorer.score(case)


def test_truth_on_another_grid_is_refused(scorer, tmp_path):
    case = files(tmp_path, heart(), heart(), heart(), reference=heart()[:3])
    with pytest.raises(ValueError, match="it is not on its reference's grid: size"):
        scorer.score(case)


def test_a_stamp_changes_with_every_file(tmp_path):
    case = files(tmp_path, heart(), heart(), reference=heart())
    before = stamp_of(case.files)
    case.members[0].write_bytes(b"")
    assert [a == b for a, b in zip(before, stamp_of(case.files), strict=True)] == [True, False, True]
    assert stamp_of(replace(case, reference=tmp_path / "none").files)[-1] is None
