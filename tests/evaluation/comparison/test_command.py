"""The whole comparison of folders made by hand: numbers, files, and what happens to the output folder."""

import json
import math

import numpy as np
import pytest
import SimpleITK
from compared_folders import score, write_evaluation

from acnn_nnunet.evaluation.command import EvaluationOptions, evaluate
from acnn_nnunet.evaluation.comparison.command import OUTPUT_FILES, ComparisonOptions, compare
from acnn_nnunet.evaluation.statistics import RESAMPLES


@pytest.fixture
def folders(tmp_path):
    """Five cases of one label: b has more Dice in three, less in one, the same in one."""
    a = [score(f"c{number}", dice=0.5, distance_mm=4.0) for number in range(5)]
    changed = enumerate([(0.6, 3.0), (0.7, 2.0), (0.8, 1.0), (0.4, 5.0), (0.5, 4.0)])
    b = [score(f"c{number}", dice=dice, distance_mm=distance) for number, (dice, distance) in changed]
    return {"a": write_evaluation(tmp_path / "a", a), "b": write_evaluation(tmp_path / "b", b)}


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
        compare(folders, tmp_path / "out", ComparisonOptions(seed=3))
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

    def test_published_results_stand_beside_ours(self, tmp_path):
        rows = [score("c", dice=0.5), score("d", dice=0.4)]
        folders = {arm: write_evaluation(tmp_path / arm, rows, label_names={"1": "LV"}) for arm in "ab"}

        text = compare(folders, tmp_path / "out", ComparisonOptions(published="acdc"))

        assert "| Isensee et al., test set (published, not run here) | 0.950 | 0.923 | 0.911 |" in text
        assert "| **a** (run here) | 0.450 ± 0.071 |  |  |" in text
        for name in ("comparison.md", "report.html"):
            assert "published, not run here" in (tmp_path / "out" / name).read_text()

    def test_unknown_published_results(self, folders, tmp_path):
        with pytest.raises(ValueError, match="there are paper, acdc, cetus"):
            compare(folders, tmp_path / "out", ComparisonOptions(published="brats"))
        assert not (tmp_path / "out").exists()


class TestOutputFolder:
    @pytest.fixture(autouse=True)
    def _without_plots(self, monkeypatch):
        monkeypatch.setattr("acnn_nnunet.evaluation.comparison.page.draw_pairs", lambda *_: "data:,")

    def test_a_former_comparison_is_replaced(self, folders, tmp_path):
        compare(folders, tmp_path / "out", ComparisonOptions(seed=1))
        (tmp_path / "out" / "report.html.partial").write_text("left by a kill")

        compare(folders, tmp_path / "out", ComparisonOptions(seed=2))

        assert json.loads((tmp_path / "out" / "comparison.json").read_text())["bootstrap"]["seed"] == 2

    def test_a_folder_in_which_a_kill_left_the_first_file_unfinished_is_used(self, folders, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "comparison.json.partial").write_text("{")

        compare(folders, tmp_path / "out")

        assert (tmp_path / "out" / "report.html").is_file()

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
