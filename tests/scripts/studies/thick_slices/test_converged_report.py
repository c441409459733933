"""The page at convergence says what the runs say of each target; differences derived by hand."""

import itertools
import json

import pandas as pd
import pytest

from acnn_nnunet.evaluation.masks.table import CASES_FILE, COLUMNS, LARGEST_COMPONENT_FILE
from scripts.studies.thick_slices import converged_report as report
from scripts.studies.thick_slices.workplace import IMAGE_SCORES, LABEL_SCORES, results_in

TRAINING = {"name": "x", "parameters": 7, "num_epochs": 4, "iterations_per_epoch": 5}
TRAINING |= {"device": "cpu", "last_rise": [0.01, 0.004], "failed_before": [2], "unlearnt": [], "flat": True}


def add(folder, arm, seed, tests, dice, hausdorff_mm=4.0, **more):
    values = {"dice": dice, "hausdorff_mm": hausdorff_mm, "hd95_mm": 1, "mean_surface_distance_mm": 0.5}
    rows = [
        {**dict.fromkeys(COLUMNS, 1), **values, "case": f"case{case}", "label": label, "status": "ok"}
        for case, label in itertools.product(range(6), "12")
    ]
    scores = pd.DataFrame(rows, columns=list(COLUMNS)).astype(str)
    tables = [
        scores.assign(test=test, table=table)
        for test, table in itertools.product(tests, (CASES_FILE, LARGEST_COMPONENT_FILE))
    ]
    run = {"arm": arm, "seed": seed, "training": TRAINING, **more}
    results_in(folder).add(run, {LABEL_SCORES: pd.concat(tables)})


def add_images(folder, arm, seed, ssim, cases=("c0", "c1", "c2", "c3")):
    rows = [
        {"test": "motion", "case": case, "ssim_3d": ssim, "ssim_slices": ssim, "psnr_db": 30, "mae": 1}
        for case in cases
    ]
    results_in(folder).add({"arm": arm, "seed": seed}, {IMAGE_SCORES: pd.DataFrame(rows).astype(str)})


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Write the page of some results; one seed is enough."""
    monkeypatch.setattr(report, "FEWEST_SEEDS", 1)

    def written():
        report.write_converged_report(tmp_path / "results", tmp_path / "page.md")
        return (tmp_path / "page.md").read_text()

    return tmp_path / "results" / "dice_ce", written


def row(text, begin):
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {begin}")]
    return found


def test_acnn_against_the_others(page):
    folder, written = page
    for seed in (0, 1):
        add(folder, report.ACNN, seed, ["motion"], 0.81, 3.6)
        add(folder, report.MAUG, seed, ["motion"], 0.80, 4.0)
    add(folder, report.UNET, 0, ["motion"], 0.79, 5.0)
    add(folder, report.UNET, 1, ["motion"], 0.82, 5.0)
    text = written()
    # 3.6 of 4 mm is a tenth less.
    assert "Hausdorff -10.0% [-10.0%, -10.0%], Dice +0.010 [+0.010, +0.010], 2 seeds: reached" in text
    # Higher than the U-Net with one seed, lower with the other.
    assert "Dice +0.020, -0.010; Hausdorff -1.40, -1.40 mm: missed" in text
    assert row(text, "one network").endswith("| not measured |")
    assert row(text, "the same with the prior on the box").endswith("| not measured |")
    add(folder, report.OUTSIDE_ARM, 0, ["motion"], 0.82, 3.0)
    text = written()
    # A quarter of 4 mm less, with the one seed that both have.
    assert "Hausdorff -25.0% [-25.0%, -25.0%], Dice +0.020 [+0.020, +0.020], 1 seed: reached" in text
    assert "Dice +0.030; Hausdorff -2.00 mm: reached" in text
    assert "| x | 0 | cpu | 7 | 20 | +0.010 ± 0.004 | yes | 2 | none |" in text
    assert "### Images" not in text


def test_pairs_repeats_and_one_network(page):
    folder, written = page
    for seed, dice in ((0, 0.70), (1, 0.74)):
        add(folder, "sub_pixel_b2", seed, ["still"], dice)
        add(folder, "in_plane_b2", seed, ["still"], dice + 0.08)
        add(folder, "pairs_b2", seed, ["still"], dice + 0.03)
    mixed = ["mixed4", "mixed5", "mixed6"]
    add(folder, "mixed_b2", 0, mixed, 0.78)
    for factor, dice in ((4, 0.783), (5, 0.79), (6, 0.77)):
        add(folder, f"factor_{factor}_b2", 0, [f"mixed{factor}"], dice)
    counts = {"true_repeats": {test: [50, 1] for test in mixed}}
    add(folder, "stock_mixed", 0, mixed, 0.7, repeats={test: [40, 4] for test in mixed}, **counts)
    add(folder, "mixed_sampled", 0, mixed, 0.75, repeats={test: [40, 2] for test in mixed}, **counts)
    text = written()
    assert "+0.0300, spread 0.0400, 2 seeds: reached" in row(text, "pairs against simulated")
    assert "-0.0500, spread 0.0400, 2 seeds: missed" in row(text, "the same, simulated stacks turned in their plane")
    assert "12 stock, 6 ours; Dice +0.050, 1 seed: reached" in text
    assert "factor 4: -0.0030, factor 5: -0.0100, factor 6: +0.0100, 1 seed: missed" in text
    assert "| true labels | | 1 of 50 | 1 of 50 | 1 of 50 | |" in text
    assert "| 5 | 1 | 0.780 | 0.790 | -0.0100 |" in text


def test_one_network_is_judged_by_the_seeds_that_all_factors_have(page):
    folder, written = page
    mixed = ["mixed4", "mixed5", "mixed6"]
    for seed in (0, 1):
        add(folder, "mixed_b2", seed, mixed, 0.78)
        add(folder, "factor_4_b2", seed, ["mixed4"], 0.78 + 0.02 * seed)
    verdict = "not judged before all factors have a seed in common; factor 4: seeds [0, 1] |"
    assert row(written(), "one network").endswith(verdict)
    for factor in (5, 6):
        add(folder, f"factor_{factor}_b2", 0, [f"mixed{factor}"], 0.78)
    # The second seed, with which factor 4 is 0.02 ahead, is one of that factor's alone.
    assert row(written(), "one network").endswith(
        "factor 4: +0.0000, factor 5: +0.0000, factor 6: +0.0000, 1 seed: reached |"
    )


def test_what_a_target_is_not_judged_on(page, monkeypatch):
    folder, written = page
    monkeypatch.setattr(report, "FEWEST_SEEDS", 2)
    add(folder, report.ACNN, 0, ["motion"], 0.81, 3.6)
    add(folder, report.MAUG, 0, ["motion"], 0.80, 4.0)
    assert row(written(), "ACNN-Seg against 3D").endswith("1 seed: not judged with fewer than 2 seeds |")
    monkeypatch.setattr(report, "FEWEST_SEEDS", 1)
    add(folder, report.MAUG, 0, ["motion"], 0.80, 4.0, training={**TRAINING, "flat": False})
    assert row(written(), "ACNN-Seg against 3D").endswith("1 seed: reached, not all are flat |")
    add(folder, report.MAUG, 0, ["motion"], 0.80, 4.0, training={**TRAINING, "unlearnt": [1]})
    assert row(written(), "ACNN-Seg against 3D").endswith("not judged, labels failed in x |")


def test_nothing_trained_is_said_and_what_resampling_repeats(page):
    folder, written = page
    folder.parent.mkdir()
    found = {"cases": 3, "true": [40, 0], "planned": [40, 10], "dice": 0.75}
    (folder.parent / report.FILE).write_text(json.dumps(found))
    text = written()
    assert "No arm has been trained yet" in text
    assert "in 10 of 40 neighbouring slices (25%, 3 hippocampi)" in text


def test_images(page):
    folder, written = page
    for arm, ssim in (("acnn_sr_b2", 0.9), ("sr_b2", 0.89), ("sr_cnn_b2", 0.8), ("image_bspline", 0.85)):
        add_images(folder, arm, 0, ssim)
    text = written()
    assert row(text, "ACNN-SR above").endswith("+0.0100 [+0.0100, +0.0100], 1 seed: reached |")
    assert row(text, "SR-CNN above").endswith("-0.0500 [-0.0500, -0.0500], 1 seed: missed |")
    add_images(folder, "sr_b2", 0, 0.89, cases=("c1", "c2", "c3", "c4"))
    with pytest.raises(ValueError, match="acnn_sr_b2 and sr_b2 were not tested on the same images of motion"):
        written()
