"""Reading arms: what is aligned how, and what is refused by name."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
from compared_folders import both_empty, missed, score, spurious, write_evaluation

from acnn_nnunet.evaluation.comparison.scores import (
    LARGEST_COMPONENT,
    NO_CLEAN_UP,
    PERFECT,
    parse_arms,
    read_paired_scores,
)
from acnn_nnunet.evaluation.masks.scores import METRICS


@pytest.fixture
def read(tmp_path):
    """Write arms (name to rows) and read them."""

    def write_and_read(groups=None, **arms):
        folders = {name: write_evaluation(tmp_path / name, rows) for name, rows in arms.items()}
        return read_paired_scores(folders, groups=groups)

    return write_and_read


@pytest.fixture
def groups_file(tmp_path):
    def write(*rows):
        with open(tmp_path / "groups.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
        return tmp_path / "groups.csv"

    return write


def dice_of(scores, clean_up=NO_CLEAN_UP):
    return scores.values[clean_up][..., METRICS.index("dice")].tolist()


class TestArms:
    def test_words(self, tmp_path):
        assert list(parse_arms([f"b={tmp_path}", "a=x=y"])) == ["b", "a"]
        assert str(parse_arms(["a=x=y"])["a"]) == "x=y"

    @pytest.mark.parametrize("word", ["eval/a", "=eval/a", "a="])
    def test_a_word_that_is_no_arm(self, word):
        with pytest.raises(ValueError, match="is no NAME=FOLDER"):
            parse_arms([word])

    def test_a_name_given_twice(self):
        with pytest.raises(ValueError, match=r"arm a is given twice \(x and y\)"):
            parse_arms(["a=x", "a=y"])

    def test_one_arm(self, read):
        with pytest.raises(ValueError, match="two or more arms"):
            read(a=[score("c")])

    def test_a_bad_name(self, read):
        with pytest.raises(ValueError, match=r"'a b' cannot name an arm"):
            read(**{"a b": [score("c")], "c": [score("c")]})

    def test_no_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"Arm a: there is no folder .*nowhere"):
            read_paired_scores({"a": tmp_path / "nowhere", "b": tmp_path})

    def test_the_same_folder_by_another_path(self, tmp_path):
        folder = write_evaluation(tmp_path / "a", [score("c")])
        with pytest.raises(ValueError, match="arms a and b are the same folder"):
            read_paired_scores({"a": folder, "b": tmp_path / "a" / ".." / "a"})

    @pytest.mark.parametrize("name", ["summary.json", "cases.csv", "cases_largest_component.csv"])
    def test_a_missing_file_names_the_command(self, tmp_path, name):
        folders = {arm: write_evaluation(tmp_path / arm, [score("c")]) for arm in "ab"}
        (folders["b"] / name).unlink()
        with pytest.raises(FileNotFoundError, match=rf"b/{name}: `acnn-nnunet evaluate"):
            read_paired_scores(folders)

    @pytest.mark.parametrize(("content", "message"), [("{", "is no JSON"), ("[]", "is no summary")])
    def test_a_damaged_summary(self, tmp_path, content, message):
        folders = {arm: write_evaluation(tmp_path / arm, [score("c")]) for arm in "ab"}
        (folders["a"] / "summary.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            read_paired_scores(folders)


class TestPairs:
    def test_order_of_rows_does_not_matter(self, read):
        scores = read(a=[score("d", dice=0.1), score("c", dice=0.2)], b=[score("c", dice=0.3), score("d", dice=0.4)])

        assert scores.cases == ("c", "d")
        assert dice_of(scores) == [[[0.2], [0.1]], [[0.3], [0.4]]]

    def test_foreground_is_the_mean_over_labels_of_a_case(self, read):
        rows = [score("c", "1", 0.5), score("c", "(1, 2)", 0.9)]
        scores = read(a=rows, b=rows)

        assert scores.labels == ("1", "(1, 2)", "foreground")
        assert dice_of(scores)[0][0] == pytest.approx([0.5, 0.9, 0.7])

    def test_one_label_has_no_foreground(self, read):
        assert read(a=[score("c")], b=[score("c")]).labels == ("1",)

    def test_the_clean_up_has_its_own_values(self, tmp_path):
        folders = {
            "a": write_evaluation(tmp_path / "a", [score("c", dice=0.5)], cleaned=[score("c", dice=0.6)]),
            "b": write_evaluation(tmp_path / "b", [score("c", dice=0.7)]),
        }
        scores = read_paired_scores(folders)

        assert dice_of(scores) == [[[0.5]], [[0.7]]]
        assert dice_of(scores, LARGEST_COMPONENT) == [[[0.6]], [[0.7]]]

    def test_names_tolerance_and_files_of_the_summary(self, tmp_path):
        entry = {"case": "c", "reference_file": "gt/c.nii.gz", "prediction_file": "pred/c.nii.gz", "metrics": {}}
        summary = {"label_names": {"1": "RV"}, "tolerance_mm": 2.0, "metric_per_case": [entry]}
        scores = read_paired_scores({arm: write_evaluation(tmp_path / arm, [score("c")], **summary) for arm in "ab"})

        assert scores.title("1") == "RV (1)"
        assert scores.tolerance_mm == 2.0
        assert scores.files["b"]["c"] == ("gt/c.nii.gz", "pred/c.nii.gz")


class TestEmptyMasks:
    def test_empty_in_all_arms_does_not_apply(self, read):
        scores = read(a=[both_empty("c"), score("d")], b=[both_empty("c"), score("d")])

        assert np.isnan(scores.values[NO_CLEAN_UP][:, 0]).all()
        assert not np.isnan(scores.values[NO_CLEAN_UP][:, 1]).any()

    def test_rightly_empty_is_perfect_where_another_arm_finds_something(self, read):
        scores = read(a=[both_empty("c")], b=[spurious("c")])

        assert scores.values[NO_CLEAN_UP][0, 0, 0].tolist() == [PERFECT[metric] for metric in METRICS]
        assert dict(zip(METRICS, scores.values[NO_CLEAN_UP][1, 0, 0], strict=True))["hausdorff_mm"] == 100.0
        assert PERFECT == {
            "dice": 1.0,
            "iou": 1.0,
            "hausdorff_mm": 0.0,
            "hd95_mm": 0.0,
            "mean_surface_distance_mm": 0.0,
            "surface_dice": 1.0,
        }

    def test_foreground_leaves_out_what_does_not_apply_in_any_arm(self, read):
        rows = [score("c", "1", 0.8), both_empty("c", "2"), both_empty("d", "1"), both_empty("d", "2")]
        dice = dice_of(read(a=rows, b=rows))[0]

        assert dice[0][2] == pytest.approx(0.8)
        assert math.isnan(dice[1][2])

    def test_statuses_are_counted_per_arm(self, read):
        scores = read(a=[missed("c"), both_empty("d")], b=[score("c"), spurious("d")])

        assert scores.count_statuses("missed") == {"a": 1, "b": 0}
        assert scores.count_statuses("spurious") == {"a": 0, "b": 1}

    def test_an_empty_cell_without_reason(self, read):
        with pytest.raises(ValueError, match=r"Case c, label 1: iou is empty although the status is ok"):
            read(a=[replace(score("c"), iou=None)], b=[score("c")])


class TestNoPairs:
    def test_cases_that_one_arm_lacks_are_listed(self, read):
        rows = [score(f"case{number}") for number in range(5)]
        with pytest.raises(ValueError, match=r"Arm b lacks 4 cases \(case1; case2; case3, …\) in cases.csv"):
            read(a=rows, b=rows[:1])

    def test_the_baseline_may_be_the_one_that_lacks(self, read):
        with pytest.raises(ValueError, match=r"Arm a lacks 1 case \(d\)"):
            read(a=[score("c")], b=[score("c"), score("d")])

    def test_a_case_that_evaluate_excluded_says_why(self, tmp_path):
        excluded = [{"case": "d", "reason": "d.nii.gz is truncated"}]
        folders = {
            "a": write_evaluation(tmp_path / "a", [score("c"), score("d")]),
            "b": write_evaluation(tmp_path / "b", [score("c")], excluded=excluded),
        }
        with pytest.raises(ValueError, match=r"lacks 1 case \(d\).*\(d was excluded: d.nii.gz is truncated\)"):
            read_paired_scores(folders)

    def test_labels_that_one_arm_lacks_are_listed(self, read):
        with pytest.raises(ValueError, match=r"Arm b lacks 1 row \(c, label 2\)"):
            read(a=[score("c", "1"), score("c", "2")], b=[score("c", "1")])

    def test_no_case_at_all(self, read):
        with pytest.raises(ValueError, match="holds no case in any arm"):
            read(a=[], b=[])

    def test_other_references(self, read):
        with pytest.raises(
            ValueError, match=r"Case c, label 1: the reference has 10.0 ml in arm a and 11.0 ml in arm b"
        ):
            read(a=[score("c")], b=[score("c", volume_ml=11.0)])

    def test_other_references_in_files_that_tell_no_volume(self, tmp_path):
        # PNG: 400 pixels of an expert, 900 of another one.
        flat = replace(score("c"), volume_reference_ml=None, volume_prediction_ml=None)
        folders = {
            arm: write_evaluation(
                tmp_path / arm, [flat], metric_per_case=[{"case": "c", "metrics": {"1": {"n_ref": pixels}}}]
            )
            for arm, pixels in (("a", 400), ("b", 900))
        }
        with pytest.raises(
            ValueError,
            match=r"Case c, label 1: the reference has 400 voxels in arm a and 900 in arm b",
        ):
            read_paired_scores(folders)

    def test_a_reference_that_is_empty_in_one_arm(self, read):
        without_volume = {"volume_reference_ml": None, "volume_prediction_ml": None}
        with pytest.raises(ValueError, match="against the same references"):
            read(a=[replace(missed("c"), **without_volume)], b=[replace(both_empty("c"), **without_volume)])

    @pytest.mark.parametrize(
        ("key", "values"), [("tolerance_mm", (1.0, 2.0)), ("label_names", ({"1": "RV"}, {"1": "LV"}))]
    )
    def test_evaluated_otherwise(self, tmp_path, key, values):
        folders = {
            arm: write_evaluation(tmp_path / arm, [score("c")], **{key: value})
            for arm, value in zip("ab", values, strict=True)
        }
        with pytest.raises(ValueError, match=rf"{key} is .* in arm a and .* in arm b"):
            read_paired_scores(folders)

    def test_other_ignore_labels(self, tmp_path):
        folders = {
            arm: write_evaluation(tmp_path / arm, [score("c")], ignore_label=value)
            for arm, value in (("a", None), ("b", 255))
        }
        with pytest.raises(ValueError, match=r"Arm a was .* with no ignore label and arm b with the ignore label 255"):
            read_paired_scores(folders)

    def test_tables_of_one_folder_with_other_rows(self, tmp_path):
        folders = {
            arm: write_evaluation(tmp_path / arm, [score("c"), score("d")], cleaned=[score("c")]) for arm in "ab"
        }
        with pytest.raises(ValueError, match=r"cases.csv and cases_largest_component.csv .* different rows"):
            read_paired_scores(folders)


class TestGroups:
    def test_without_patients_cases_are_the_units(self, read, groups_file):
        rows = [score("c"), score("d")]
        scores = read(groups_file(["case", "group"], ["c", "DCM"], ["d", "NOR"], ["more", "NOR"]), a=rows, b=rows)

        assert {name: members.tolist() for name, members in scores.strata.items()} == {
            "all": [True, True],
            "DCM": [True, False],
            "NOR": [False, True],
        }
        assert (scores.by_patient, scores.units.tolist()) == (False, [0, 1])

    def test_patients_share_a_unit_and_phases_are_strata(self, read, groups_file):
        groups = groups_file(
            ["case", "patient", "phase", "group"],
            ["p1_ED", "p1", "ED", ""],
            ["p1_ES", "p1", "ES", ""],
            ["q", "q", "", ""],
        )
        rows = [score(case) for case in ("p1_ED", "p1_ES", "q")]
        scores = read(groups, a=rows, b=rows)

        assert (scores.by_patient, scores.units.tolist()) == (True, [0, 0, 1])
        assert list(scores.strata) == ["all", "phase ED", "phase ES"]
        assert scores.strata["phase ES"].tolist() == [False, True, False]

    def test_a_case_that_is_not_listed(self, read, groups_file):
        with pytest.raises(ValueError, match=r"groups.csv lacks 1 case \(d\)"):
            read(groups_file(["case", "group"], ["c", "x"]), a=[score("c"), score("d")], b=[score("c"), score("d")])

    def test_a_case_that_is_listed_twice(self, read, groups_file):
        with pytest.raises(ValueError, match=r"groups.csv, line 3: case c is there already"):
            read(groups_file(["case", "group"], ["c", "x"], ["c", "x"]), a=[score("c")], b=[score("c")])

    def test_a_group_called_all(self, read, groups_file):
        with pytest.raises(ValueError, match="a group cannot be called 'all'"):
            read(groups_file(["case", "group"], ["c", "all"]), a=[score("c")], b=[score("c")])
