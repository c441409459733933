"""The whole comparison of folders made by hand: numbers, files, and what happens to the output folder."""

import csv
import json
import math
import time

import numpy as np
import pytest
import SimpleITK
from compared_folders import both_empty, missed, score, spurious, write_evaluation

from acnn_nnunet.evaluation.command import EvaluationOptions, evaluate
from acnn_nnunet.evaluation.comparison.command import OUTPUT_FILES, compare
from acnn_nnunet.evaluation.comparison.comparisons import compare_scores
from acnn_nnunet.evaluation.comparison.scores import read_paired_scores
from acnn_nnunet.evaluation.statistics import RESAMPLES


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


class TestFoldersOfEvaluate:
    def test_they_are_read_as_they_are(self, tmp_path):
        """Two cubes of 4×4×4: arm a finds both, arm b moves one by a voxel (48 of 64 stay) and misses the other."""
        reference = np.zeros((8, 8, 8), np.uint8)
        reference[2:6, 2:6, 2:6] = 1
        for folder, cases in {
            "gt": {"c": reference, "d": reference},
            "pred_a": {"c": reference, "d": reference},
            "pred_b": {"c": np.roll(reference, 1, axis=0)},
        }.items():
            (tmp_path / folder).mkdir()
            for case, label_map in cases.items():
                SimpleITK.WriteImage(SimpleITK.GetImageFromArray(label_map), tmp_path / folder / f"{case}.nii.gz")
        for arm in "ab":
            evaluate(tmp_path / "gt", tmp_path / f"pred_{arm}", tmp_path / arm, EvaluationOptions(labels=["LV=1"]))

        text = compare({arm: tmp_path / arm for arm in "ab"}, tmp_path / "out")

        # Dice 1 and 1 against 0.75 and 0; IoU 48 / 80; Hausdorff 1 mm and the diagonal of 8 voxels.
        lines = [line for line in text.splitlines() if "| LV (1) | 2 |" in line]
        assert "| 1.000 ± 0.000 (1.000) | 0.375 ± 0.530 (0.375) | −0.625 [−1.000, −0.250]" in lines[0]
        assert "| 0.300 ± " in lines[1]
        assert f"| {(1 + 8 * math.sqrt(3)) / 2:.2f} ± " in lines[2]
        assert "missed (scored 0, or with the image's diagonal): a 0, b 1" in text
        assert "<figcaption>d</figcaption>" in (tmp_path / "out" / "report.html").read_text()


class TestFiles:
    def test_everything_is_written(self, folders, tmp_path):
        text = compare(folders, tmp_path / "new" / "out")

        assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == sorted(OUTPUT_FILES)
        assert "| Dice | 1 | 5 | 0.500 ± 0.000 (0.500) | 0.600 ± 0.158 (0.600) | +0.100 [" in text
        assert "| 0.375 | 1.000 | 3/1/1 |" in text
        assert all(name in text.splitlines()[-1] for name in OUTPUT_FILES)

    def test_json_says_how_it_was_counted(self, folders, tmp_path):
        compare(folders, tmp_path / "out", seed=3)
        content = json.loads((tmp_path / "out" / "comparison.json").read_text())

        assert content["baseline"] == "a"
        assert content["bootstrap"] == {"method": "percentile", "confidence": 0.95, "resamples": RESAMPLES, "seed": 3}
        assert RESAMPLES >= 10_000
        assert len(content["results"]) == 2 * 2 * 6
        assert content["results"][6]["p_value"] == pytest.approx(0.375)

    def test_a_run_repeats_bit_by_bit(self, folders, tmp_path):
        for name in ("first", "second"):
            compare(folders, tmp_path / name)

        for name in OUTPUT_FILES:
            assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()

    def test_latex_escapes_and_balances(self, tmp_path):
        names = {"1": "RV_cavity & 50 %"}
        rows = [score("c", dice=0.5), score("d", dice=0.4)]
        folders = {arm: write_evaluation(tmp_path / arm, rows, label_names=names) for arm in ("nnu_net", "b")}

        compare(folders, tmp_path / "out")
        table = (tmp_path / "out" / "comparison.tex").read_text()

        assert r"RV\_cavity \& 50 \% (1)" in table
        assert r"nnu\_net" in table
        assert r"$\pm$" in table
        assert table.count(r"\begin{tabular}") == table.count(r"\end{tabular}") == 2
        columns = table.split(r"\begin{tabular}{")[1].split("}")[0]
        body = table.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
        assert {line.replace(r"\&", "").count("&") for line in body} == {len(columns) - 1}

    def test_markdown_keeps_its_columns_with_bars_in_a_name(self, tmp_path):
        rows = [score("c"), score("d")]
        folders = {arm: write_evaluation(tmp_path / arm, rows, label_names={"1": "a|b"}) for arm in "ab"}

        text = compare(folders, tmp_path / "out")

        lines = [line for line in text.splitlines() if line.startswith("|")]
        assert {line.replace(r"\|", "").count("|") for line in lines} == {10}

    def test_three_arms_are_compared_with_the_first(self, folders, tmp_path):
        folders["c"] = write_evaluation(tmp_path / "c", [score(f"c{number}", dice=0.9) for number in range(5)])
        comparisons = compare_scores(read_paired_scores(folders))

        assert find(comparisons, "dice", "c").mean_difference == pytest.approx(0.4)
        assert find(comparisons, "dice", "b").mean_difference == pytest.approx(0.1)
        assert "c − a [95 % CI]" in compare(folders, tmp_path / "out")

    def test_published_results_stand_beside_ours(self, tmp_path):
        rows = [score("c", dice=0.5), score("d", dice=0.4)]
        folders = {arm: write_evaluation(tmp_path / arm, rows, label_names={"1": "LV"}) for arm in "ab"}

        text = compare(folders, tmp_path / "out", published="acdc")

        assert "| Isensee et al., test set (published, not run here) | 0.950 | 0.923 | 0.911 |" in text
        assert "| **a** (run here) | 0.450 ± 0.071 |  |  |" in text
        for name in ("comparison.md", "report.html"):
            assert "published, not run here" in (tmp_path / "out" / name).read_text()

    def test_unknown_published_results(self, folders, tmp_path):
        with pytest.raises(ValueError, match="there are paper, acdc, cetus"):
            compare(folders, tmp_path / "out", published="brats")
        assert not (tmp_path / "out").exists()


class TestOutputFolder:
    @pytest.fixture(autouse=True)
    def _without_plots(self, monkeypatch):
        monkeypatch.setattr("acnn_nnunet.evaluation.comparison.page.draw_pairs", lambda *_: "data:,")

    def test_a_former_comparison_is_replaced(self, folders, tmp_path):
        compare(folders, tmp_path / "out", seed=1)
        (tmp_path / "out" / "report.html.partial").write_text("left by a kill")

        compare(folders, tmp_path / "out", seed=2)

        assert json.loads((tmp_path / "out" / "comparison.json").read_text())["bootstrap"]["seed"] == 2

    def test_an_empty_folder_is_used(self, folders, tmp_path):
        (tmp_path / "out").mkdir()
        compare(folders, tmp_path / "out")

    def test_the_folder_of_an_arm_is_refused_and_kept(self, folders):
        with pytest.raises(FileExistsError, match=r"/a holds cases.csv, which no comparison wrote"):
            compare(folders, folders["a"])
        assert not (folders["a"] / "report.html").exists()

    def test_a_file_of_ours_that_we_did_not_write(self, folders, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "report.html").write_text("mine")
        with pytest.raises(FileExistsError, match=r"holds report.html, which no comparison wrote"):
            compare(folders, tmp_path / "out")

    def test_a_file_instead_of_a_folder(self, folders, tmp_path):
        (tmp_path / "out").write_text("")
        with pytest.raises(FileExistsError, match="is a file"):
            compare(folders, tmp_path / "out")
