"""The statistics of a comparison by hand: pairs, patients, ties, misses and corrections."""

import csv
import math
import time

import numpy as np
import pytest
from compared_folders import both_empty, missed, score, spurious, write_evaluation

from acnn_nnunet.evaluation.comparison.command import compare
from acnn_nnunet.evaluation.comparison.comparisons import compare_scores, labels_that_differ
from acnn_nnunet.evaluation.comparison.scores import read_paired_scores


@pytest.fixture
def folders(tmp_path):
    """Five cases of one label: b has more Dice in three, less in one, the same in one."""
    a = [score(f"c{number}", dice=0.5, distance_mm=4.0) for number in range(5)]
    changed = enumerate([(0.6, 3.0), (0.7, 2.0), (0.8, 1.0), (0.4, 5.0), (0.5, 4.0)])
    b = [score(f"c{number}", dice=dice, distance_mm=distance) for number, (dice, distance) in changed]
    return {"a": write_evaluation(tmp_path / "a", a), "b": write_evaluation(tmp_path / "b", b)}


def find(comparisons, metric, arm="b", *, label="1", stratum="all", clean_up="none"):
    (row,) = (
        row
        for row in comparisons
        if (row.metric, row.arm, row.label, row.stratum, row.clean_up) == (metric, arm, label, stratum, clean_up)
    )
    return row


class TestStatistics:
    def test_an_arm_by_hand(self, folders):
        row = find(compare_scores(read_paired_scores(folders)), "dice")

        assert (row.num_cases, row.num_units, row.not_applicable) == (5, 5, 0)
        assert row.mean == pytest.approx(0.6)
        assert row.sd == pytest.approx(math.sqrt((0 + 0.01 + 0.04 + 0.04 + 0.01) / 4))
        assert row.median == pytest.approx(0.6)
        assert row.mean_difference == pytest.approx(0.1)
        assert row.ci_low <= 0.1 <= row.ci_high
        # Differences 0.1, 0.2, 0.3 and −0.1 have ranks 1.5, 3, 4 and 1.5, so the negative rank sum is 1.5. Of the 16
        # signs, 3 give at most that (none, or one of the two smallest, negative), and as many the mirror image.
        assert row.p_value == pytest.approx(6 / 16)
        assert (row.wins, row.ties, row.losses) == (3, 1, 1)

    def test_lower_distances_win(self, folders):
        row = find(compare_scores(read_paired_scores(folders)), "hausdorff_mm")

        assert row.mean_difference == pytest.approx((-1 - 2 - 3 + 1) / 5)
        assert (row.wins, row.ties, row.losses) == (3, 1, 1)

    def test_the_baseline_is_described_and_not_compared(self, folders):
        row = find(compare_scores(read_paired_scores(folders)), "dice", "a")

        assert (row.mean, row.sd) == (pytest.approx(0.5), pytest.approx(0.0))
        assert (row.mean_difference, row.p_value, row.wins) == (None, None, None)

    def test_holm_runs_over_the_metrics_and_labels_of_a_table(self, folders):
        comparisons = compare_scores(read_paired_scores(folders))
        family = [row for row in comparisons if (row.arm, row.clean_up) == ("b", "none")]
        smallest = min(row.p_value for row in family)

        assert len(family) == 6
        assert {row.family_size for row in family} == {6}
        assert min(row.p_holm for row in family) == pytest.approx(min(1, 6 * smallest))

    def test_all_ties(self, tmp_path):
        rows = [score("c"), score("d"), score("e")]
        scores = read_paired_scores({arm: write_evaluation(tmp_path / arm, rows) for arm in "ab"})

        row = find(compare_scores(scores), "dice")

        assert (row.p_value, row.p_holm, row.ci_low, row.ci_high) == (1.0, 1.0, 0.0, 0.0)
        assert (row.wins, row.ties, row.losses) == (0, 3, 0)

    def test_an_invented_label_loses_and_is_not_dropped(self, tmp_path):
        folders = {
            "a": write_evaluation(tmp_path / "a", [both_empty("c"), both_empty("d"), score("e")]),
            "b": write_evaluation(tmp_path / "b", [spurious("c"), both_empty("d"), score("e")]),
        }
        row = find(compare_scores(read_paired_scores(folders)), "dice")

        assert (row.num_cases, row.not_applicable) == (2, 1)
        assert row.mean_difference == pytest.approx(-0.5)
        assert (row.wins, row.ties, row.losses) == (0, 1, 1)

    def test_a_miss_keeps_its_penalty(self, tmp_path):
        folders = {
            "a": write_evaluation(tmp_path / "a", [score("c", distance_mm=2.0), score("d", distance_mm=2.0)]),
            "b": write_evaluation(tmp_path / "b", [missed("c"), score("d", distance_mm=2.0)]),
        }
        row = find(compare_scores(read_paired_scores(folders)), "hausdorff_mm")

        assert (row.num_cases, row.mean_difference) == (2, pytest.approx(49.0))

    def test_patients_are_tested_by_their_means(self, tmp_path):
        """ED and ES of three patients: six cases, three observations."""
        cases = [f"p{patient}_{phase}" for patient in range(3) for phase in ("ED", "ES")]
        gains = (0.3, -0.1, 0.1, 0.2, 0.05, 0.0)
        folders = {
            "a": write_evaluation(tmp_path / "a", [score(case, dice=0.5) for case in cases]),
            "b": write_evaluation(
                tmp_path / "b", [score(c, dice=0.5 + gain) for c, gain in zip(cases, gains, strict=True)]
            ),
        }
        lines = ["case,patient,phase,group", *(f"{case},{case[:2]},{case[3:]},g" for case in cases)]
        (tmp_path / "groups.csv").write_text("\n".join(lines))

        comparisons = compare_scores(read_paired_scores(folders, groups=tmp_path / "groups.csv"))
        row = find(comparisons, "dice")

        # Patient means 0.1, 0.15 and 0.025 are all positive: 2 of 8 signs. By case the test would give another p.
        assert (row.num_cases, row.num_units) == (6, 3)
        assert row.p_value == pytest.approx(2 / 8)
        assert (row.wins, row.ties, row.losses) == (4, 1, 1)
        assert find(comparisons, "dice", stratum="phase ES").num_cases == 3
        assert find(comparisons, "dice", stratum="g").p_value == pytest.approx(2 / 8)

    def test_one_case_has_numbers_and_no_test(self, tmp_path):
        folders = {arm: write_evaluation(tmp_path / arm, [score("c", dice=d)]) for arm, d in (("a", 0.5), ("b", 0.7))}

        text = compare(folders, tmp_path / "out")
        with open(tmp_path / "out" / "comparison.csv", newline="") as file:
            row = next(row for row in csv.DictReader(file) if row["arm"] == "b")

        assert "Only one case: no interval and no test is possible" in text
        assert (row["mean"], row["sd"], row["ci_low"], row["p_value"], row["p_holm"]) == ("0.7", "", "", "", "")
        assert float(row["mean_difference"]) == pytest.approx(0.2)
        assert "nan" not in (tmp_path / "out" / "comparison.csv").read_text().lower()
        assert "nan" not in text

    def test_160_cases_take_seconds(self, tmp_path):
        """160 cases, 3 labels, 6 metrics, 5 groups and 2 clean-ups; the limit allows for a busy machine."""
        generator = np.random.default_rng(0)
        cases = [f"p{number:02d}_{phase}" for number in range(80) for phase in ("ED", "ES")]
        folders = {
            arm: write_evaluation(
                tmp_path / arm, [score(case, label, generator.uniform(0.5, 1)) for case in cases for label in "123"]
            )
            for arm in "ab"
        }
        lines = ["case,patient,group", *(f"{case},{case[:3]},{int(case[1:3]) % 5}" for case in cases)]
        (tmp_path / "groups.csv").write_text("\n".join(lines))
        scores = read_paired_scores(folders, groups=tmp_path / "groups.csv")

        start = time.perf_counter()
        comparisons = compare_scores(scores)

        assert len(comparisons) == 2 * 6 * 2 * 4 * 6
        assert time.perf_counter() - start < 20

    def test_three_arms_are_compared_with_the_first(self, folders, tmp_path):
        folders["c"] = write_evaluation(tmp_path / "c", [score(f"c{number}", dice=0.9) for number in range(5)])
        comparisons = compare_scores(read_paired_scores(folders))

        assert find(comparisons, "dice", "c").mean_difference == pytest.approx(0.4)
        assert find(comparisons, "dice", "b").mean_difference == pytest.approx(0.1)
        assert "c − a [95 % CI]" in compare(folders, tmp_path / "out")


@pytest.mark.parametrize(
    ("most", "shown"),
    [(3, ["2", "4", "foreground"]), (2, ["4", "foreground"]), (9, ["1", "2", "3", "4", "foreground"])],
)
def test_of_many_labels_those_that_differ_most_are_named_in_their_order(tmp_path, most, shown):
    gains = {"1": 0.0, "2": -0.2, "3": 0.1, "4": 0.3}
    rows = {"a": [score("c", label, 0.5) for label in gains], "b": [score("c", k, 0.5 + v) for k, v in gains.items()]}
    scores = read_paired_scores({arm: write_evaluation(tmp_path / arm, rows[arm]) for arm in "ab"})
    dice = [row for row in compare_scores(scores, resamples=10) if row.metric == "dice"]

    assert labels_that_differ(scores.labels, dice, most=most) == shown
