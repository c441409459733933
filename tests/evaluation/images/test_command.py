"""`evaluate-sr` on folders: files, exclusions, processes."""

import csv
import json

import image_files
import numpy as np
import pytest
from image_files import image_and_blurred, write_image
from skimage.metrics import peak_signal_noise_ratio

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.evaluation.images import command as super_resolution
from acnn_nnunet.evaluation.images.command import ImageOptions, evaluate_super_resolution
from acnn_nnunet.evaluation.images.image_quality import slice_ssims, ssim


@pytest.fixture
def folders(tmp_path):
    gt, pred = tmp_path / "gt", tmp_path / "pred"
    for number, case in enumerate(("a", "b", "c")):
        reference, prediction = image_and_blurred(number, noise=5 + 10 * number)
        write_image(gt / f"{case}.nii.gz", reference)
        write_image(pred / f"{case}_0000.nii.gz", prediction)
    return gt, pred


def results(output):
    with open(output / "images.csv", newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    return rows, json.loads((output / "summary.json").read_text())


def test_rows_hold_the_scores_of_the_arrays(folders, tmp_path):
    text = evaluate_super_resolution(*folders, tmp_path / "out").text

    rows, summary = results(tmp_path / "out")
    assert list(rows["a"]) == ["case", "ssim_3d", "ssim_slices", "psnr_db", "mae", "data_range", "status", "reason"]
    ssims = []
    for number, case in enumerate(("a", "b", "c")):
        x, y = (image.astype(float) for image in image_and_blurred(number, noise=5 + 10 * number))
        row, data_range = rows[case], x.max() - x.min()
        assert row["status"] == "ok"
        assert float(row["data_range"]) == data_range
        ssims.append(float(row["ssim_3d"]))
        assert ssims[-1] == pytest.approx(ssim(x, y, data_range=data_range))
        # Spacing (2, 1, 1): slices are across the first axis.
        expected = np.mean(slice_ssims(x, y, axis=0, data_range=data_range))
        assert float(row["ssim_slices"]) == pytest.approx(expected)
        assert float(row["psnr_db"]) == pytest.approx(peak_signal_noise_ratio(x, y, data_range=data_range))
        assert float(row["mae"]) == pytest.approx(np.abs(x - y).mean())
    assert summary["metrics"]["ssim_3d"] == pytest.approx(
        {"mean": np.mean(ssims), "sd": np.std(ssims, ddof=1), "median": np.median(ssims), "n": 3}
    )
    assert f"{np.mean(ssims):.4f}" in text
    assert "3 of 3 images scored" in text


def test_a_range_for_all_images(folders, tmp_path):
    evaluate_super_resolution(*folders, tmp_path / "out", ImageOptions(data_range=50.0))

    rows, summary = results(tmp_path / "out")
    x, y = (image.astype(float) for image in image_and_blurred(0, noise=5))
    assert float(rows["a"]["data_range"]) == 50
    assert float(rows["a"]["psnr_db"]) == pytest.approx(peak_signal_noise_ratio(x, y, data_range=50))
    assert summary["settings"]["data_range"] == 50


def test_inside_masks(folders, tmp_path):
    masks = tmp_path / "masks"
    inside = np.zeros((12, 14, 15), dtype=np.uint8)
    inside[3:9, 4:10, 4:11] = 1
    for case in ("a", "b"):
        write_image(masks / f"{case}.nii.gz", inside)

    evaluate_super_resolution(*folders, tmp_path / "out", ImageOptions(masks=masks))

    rows, summary = results(tmp_path / "out")
    x, y = (image.astype(float) for image in image_and_blurred(0, noise=5))
    values = x[3:9, 4:10, 4:11]
    assert float(rows["a"]["data_range"]) == values.max() - values.min()
    assert float(rows["a"]["mae"]) == pytest.approx(np.abs(values - y[3:9, 4:10, 4:11]).mean())
    assert (rows["c"]["status"], rows["c"]["reason"]) == ("excluded", "there is no mask")
    assert (summary["num_scored"], summary["num_excluded"]) == (2, 1)


def test_identical_images_have_no_psnr_and_few_slices_no_3d_window(folders, tmp_path):
    gt, pred = folders
    reference, prediction = image_and_blurred(9, shape=(10, 14, 15))
    write_image(gt / "same.nii.gz", reference)
    write_image(pred / "same.nii.gz", reference)
    write_image(gt / "thick.nii.gz", reference)
    write_image(pred / "thick.nii.gz", prediction)

    evaluate_super_resolution(gt, pred, tmp_path / "out")

    rows, summary = results(tmp_path / "out")
    assert (rows["same"]["status"], rows["same"]["psnr_db"], rows["same"]["mae"]) == ("identical", "", "0.0")
    assert float(rows["same"]["ssim_slices"]) == 1
    assert (rows["thick"]["status"], rows["thick"]["ssim_3d"]) == ("ok", "")
    assert [summary["metrics"][name]["n"] for name in ("ssim_3d", "ssim_slices", "psnr_db", "mae")] == [3, 5, 4, 5]
    assert (summary["num_scored"], summary["num_identical"]) == (5, 1)


@pytest.mark.parametrize("num_processes", [1, 2])
def test_a_bad_file_never_costs_the_others(folders, tmp_path, num_processes):
    gt, pred = folders
    reference, prediction = image_and_blurred(5)
    for case in ("constant", "grid", "nan", "truncated", "four_axes"):
        write_image(gt / f"{case}.nii.gz", np.full_like(reference, 7) if case == "constant" else reference)
        write_image(pred / f"{case}.nii.gz", prediction, spacing_mm=(3, 1, 1) if case == "grid" else (2, 1, 1))
    write_image(gt / "missing.nii.gz", reference)
    write_image(pred / "extra.nii.gz", prediction)
    write_image(pred / "nan.nii.gz", np.where(prediction > 50, np.nan, prediction))
    (pred / "truncated.nii.gz").write_bytes((pred / "truncated.nii.gz").read_bytes()[:2000])
    write_four_axes(pred / "four_axes.nii.gz", prediction)

    text = evaluate_super_resolution(
        gt, pred, tmp_path / "out", ImageOptions(execution=Execution(num_processes=num_processes))
    ).text

    rows, summary = results(tmp_path / "out")
    assert [rows[case]["status"] for case in "abc"] == ["ok"] * 3
    expected = {
        "constant": "constant",
        "grid": "spacing",
        "nan": "not finite",
        "truncated": "cut off",
        "four_axes": "4 axes",
        "missing": "there is no prediction",
    }
    for case, reason in expected.items():
        assert reason in rows[case]["reason"]
        assert rows[case]["ssim_slices"] == ""
        assert f"Not scored: {case}: " in text
    assert (summary["num_cases"], summary["num_scored"], summary["num_missing"], summary["num_excluded"]) == (
        9,
        3,
        1,
        5,
    )
    assert {each["case"] for each in summary["excluded"]} == set(expected)
    assert summary["extra_predictions"] == ["extra"]
    assert "Predictions without a reference: extra" in text
    assert summary["metrics"]["mae"]["n"] == 3


def write_four_axes(path, values):
    import SimpleITK

    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.stack([values] * 2), isVector=False), str(path))


def test_a_killed_process_costs_its_own_case_only(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(super_resolution, "score_pair", image_files.killed_at_b)

    outcome = evaluate_super_resolution(*folders, tmp_path / "out", ImageOptions(execution=Execution(num_processes=2)))

    rows, _ = results(tmp_path / "out")
    assert {case: row["status"] for case, row in rows.items()} == {"a": "ok", "b": "excluded", "c": "ok"}
    assert "killed" in rows["b"]["reason"]
    assert [each.case for each in outcome.excluded] == ["b"]


def test_a_constant_reference_has_scores_with_a_given_range(tmp_path):
    flat = np.full((12, 12, 12), 7, np.float32)
    write_image(tmp_path / "gt" / "a.nii.gz", flat)
    write_image(tmp_path / "pred" / "a.nii.gz", flat + 1)

    evaluate_super_resolution(tmp_path / "gt", tmp_path / "pred", tmp_path / "out", ImageOptions(data_range=10.0))

    rows, _ = results(tmp_path / "out")
    assert float(rows["a"]["psnr_db"]) == pytest.approx(20)  # 10·log10(10² / 1²)


def test_no_case_that_can_be_scored_is_an_error_that_leaves_the_reasons(tmp_path):
    flat = np.zeros((12, 12, 12), np.float32)
    write_image(tmp_path / "gt" / "a.nii.gz", flat)
    write_image(tmp_path / "pred" / "a.nii.gz", flat)

    with pytest.raises(ValueError, match=r"None of the 1 cases could be scored: a, .*gt/a\.nii\.gz is constant"):
        evaluate_super_resolution(tmp_path / "gt", tmp_path / "pred", tmp_path / "out")

    rows, _ = results(tmp_path / "out")
    assert rows["a"]["status"] == "excluded"


def test_negative_intensities_are_told(folders, tmp_path):
    gt, pred = folders
    reference, prediction = image_and_blurred(0)
    write_image(gt / "a.nii.gz", reference - 50)
    write_image(pred / "a_0000.nii.gz", prediction - 50)

    text = evaluate_super_resolution(gt, pred, tmp_path / "out").text

    assert "1 references have negative intensities" in text
    assert results(tmp_path / "out")[1]["num_negative"] == 1


def test_bad_settings_and_a_folder_with_results_are_refused(folders, tmp_path):
    with pytest.raises(ValueError, match="-np 0"):
        evaluate_super_resolution(*folders, tmp_path / "out", ImageOptions(execution=Execution(num_processes=0)))
    for data_range in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="--data-range"):
            evaluate_super_resolution(*folders, tmp_path / "out", ImageOptions(data_range=data_range))
    with pytest.raises(ValueError, match="was given as reference and as prediction"):
        evaluate_super_resolution(folders[0], folders[0], tmp_path / "out")
    (folders[1] / "summary.json").write_text("nnU-Net's")
    with pytest.raises(FileExistsError, match=r"pred already holds summary\.json"):
        evaluate_super_resolution(*folders, folders[1])
    assert (folders[1] / "summary.json").read_text() == "nnU-Net's"


def test_parts_give_what_one_run_gives(folders, tmp_path):
    evaluate_super_resolution(*folders, tmp_path / "one")
    for part_id in (1, 0):
        part = ImageOptions(execution=Execution(num_parts=2, part_id=part_id))
        assert "merge" in evaluate_super_resolution(*folders, tmp_path / "parts", part).text

    super_resolution.merge_parts(tmp_path / "parts")

    for name in ("images.csv", "summary.json", "status.csv", "report.html"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_going_on_keeps_what_is_scored(folders, tmp_path, monkeypatch):
    evaluate_super_resolution(*folders, tmp_path / "out")
    expected = (tmp_path / "out" / "images.csv").read_bytes()
    scored = []
    monkeypatch.setattr(super_resolution, "score_pair", lambda pair, **_: scored.append(pair))

    evaluate_super_resolution(*folders, tmp_path / "out", ImageOptions(execution=Execution(go_on=True)))

    assert (tmp_path / "out" / "images.csv").read_bytes() == expected
    assert not scored
