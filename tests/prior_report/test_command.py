"""`prior-report` on a small fold and a prior of it: what it writes, on both grids, and what it refuses."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from tiny_fold import DATASET, REGIONS, write_fold, write_prior

from acnn_nnunet.nnunet.folds import view_fold
from acnn_nnunet.prior_report.command import JSON_FILE, PAGE_FILE, PriorReportOptions, prior_report
from acnn_nnunet.shape_prior.grids.roi_box import RoiBox
from acnn_nnunet.shape_prior.label_maps.defects import DEFECTS, STRENGTHS

KINDS = {
    "patch": {"settings": {}},
    "roi": {"settings": {"grid": "roi", "outside_weight": 0.5}},
    "regions": {"settings": {"prior_distance": "l2", "prior_weighting": "constant"}, "labels": REGIONS},
    "2d": {"settings": {}, "flat": True},
}
BOXES = {"roi": RoiBox((16, 20, 20), (1.5, 1.0, 1.0))}


@pytest.fixture(scope="module", autouse=True)
def _few_patches():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acnn_nnunet.prior_report.measures.NUM_PATCHES", 24)
        yield


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """Preprocessed folders and results with a prior, by kind; made once, only read."""
    made = {}
    for kind, options in KINDS.items():
        root = tmp_path_factory.mktemp(kind)
        folder = write_fold(root / "preprocessed", **options)
        write_prior(folder, root / "results", box=BOXES.get(kind))
        made[kind] = root
    return made


@pytest.fixture(scope="module")
def reports(folds):
    """Return a function that gives a kind's printed text, JSON and page; made once a kind."""
    made = {}

    def of(kind):
        if kind not in made:
            with pytest.MonkeyPatch.context() as patch:
                set_folders(patch, folds[kind])
                output = folds[kind] / "report"
                made[kind] = *report(output), (output / PAGE_FILE).read_text()
        return made[kind]

    return of


@pytest.fixture
def fold(folds, tmp_path, monkeypatch):
    """A copy of the patch kind's folders, to which nnU-Net's variables point."""
    for name in ("preprocessed", "results"):
        shutil.copytree(folds["patch"] / name, tmp_path / name)
    set_folders(monkeypatch, tmp_path)
    return tmp_path


def set_folders(patch, root):
    for name in ("preprocessed", "results"):
        patch.setenv(f"nnUNet_{name}", str(root / name))


def report(output, *, dataset=DATASET, configuration="quick", fold=0, plans="nnUNetPlans", device="cpu"):
    text = prior_report(output, PriorReportOptions(dataset, configuration, fold, plans, device))
    return text, json.loads((output / JSON_FILE).read_text())


def prior_file(root):
    return root / "results" / DATASET / "ShapePriorTrainer__nnUNetPlans__quick" / "fold_0" / "checkpoint_final.pth"


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_holds_every_measure(reports, kind):
    text, written, _ = reports(kind)
    labels = ["whole", "core"] if kind == "regions" else ["shell", "core"]
    assert list(written["reconstruction"]["per_label"]["autoencoder"]) == labels
    assert written["reconstruction"]["pca"] == {"components": 4, "cases": 7}
    assert sorted(written["reconstruction"]["cases"]) == ["ball_07", "ball_08", "ball_09"]
    assert set(written["reconstruction"]["mean"]) == {"autoencoder", "pca", "predictor"}
    assert written["codes"]["size"] == 4
    assert 1 <= written["codes"]["effective_rank"] <= 4
    assert sum(written["codes"]["dimensions"][0]["held_out_counts"]) == 3
    assert written["training_patches"]["patches"] == 24
    assert set(written["predictor"]) == {"l2", "whitened", "decoded"}
    assert written["prior"]["grid"] == ("roi" if kind == "roi" else "patch")
    assert text.splitlines()[-2] == f"verdict: {written['verdict']['overall']}"
    assert text.splitlines()[-1].endswith(PAGE_FILE)


@pytest.mark.parametrize("kind", KINDS)
def test_distances_begin_at_zero_and_see_defects(reports, kind):
    measured = reports(kind)[1]["code_distance"]
    assert measured["strengths"] == [0, *STRENGTHS]
    assert set(measured["defects"]) == set(DEFECTS)
    for measures in measured["defects"].values():
        for name in ("l2", "whitened", "dice_loss"):
            means = measures[name]["means"]
            assert means[0] == pytest.approx(0, abs=1e-6)
            assert means[-1] > 1e-6
    if kind == "regions":
        # The whole loses its outer half, Dice 2·0.5 / 1.5, and the core nothing: (1/3 + 0) / 2.
        assert measured["defects"]["boundary inwards"]["dice_loss"]["means"][-1] == pytest.approx(1 / 6, abs=0.002)


@pytest.mark.parametrize("kind", KINDS)
def test_every_term_of_the_loss_has_a_gradient(reports, kind):
    gradient = reports(kind)[1]["gradient"]
    terms = ["distance", "outside_volume"] if kind == "roi" else ["distance"]
    assert gradient["terms"] == terms
    assert list(gradient["predictions"]) == ["near_perfect", "perturbed", "uniform"]
    for values in gradient["predictions"].values():
        for term in terms:
            assert np.isfinite(values["norms"][term])
            assert values["norms"][term] > 0
            ratio = values["norms"][term] / values["norms"]["segmentation_loss"]
            assert values["ratios"][term] == pytest.approx(ratio)
        if kind != "roi":  # one term, of weight 1
            assert values["ratio_of_the_weighted_sum"] == pytest.approx(values["ratios"]["distance"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_stands_alone_and_says_what_the_json_says(reports, kind):
    _, written, page = reports(kind)
    assert written["verdict"]["overall"].capitalize() in page
    assert all(check["name"] in page for check in written["verdict"]["checks"])
    assert f"{written['reconstruction']['mean']['pca']['dice']:.3f}" in page
    # Three cases, their scatter plot, defects and histograms.
    assert page.count("<img") == page.count('src="data:image/png;base64,') == 6
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_a_second_report_replaces_the_first_says_the_same_and_leaves_no_trace(reports, folds, monkeypatch):
    root = folds["patch"]
    first = dict(reports("patch")[1])
    set_folders(monkeypatch, root)
    results = sorted((root / "results").rglob("*"))
    second = report(root / "report")[1]
    for each in (first, second):
        each.pop("seconds")
    assert first == second
    assert sorted((root / "results").rglob("*")) == results


def test_patches_are_augmented_seeded_and_leave_other_random_numbers_alone(fold):
    view = view_fold("99", "quick", 0, plans_identifier="nnUNetPlans")
    torch.manual_seed(3)
    np.random.seed(3)
    first, second = (list(view.training_targets(3, seed=1)) for _ in range(2))
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(3))
    assert np.random.random() == np.random.RandomState(3).random()
    for one, other in zip(first, second, strict=True):
        assert one.shape == (2, 1, 16, 16, 16)
        assert torch.equal(one, other)
    assert not torch.equal(first[0], first[1])
    (other,) = view.training_targets(1, seed=50)
    assert not torch.equal(first[0], other)


def test_a_prior_whose_predictor_was_never_trained(fold):
    edit_spec(prior_file(fold), stage="autoencoder")
    _, written = report(fold / "report")
    assert written["predictor"] is None
    assert "predictor" not in written["reconstruction"]["mean"]
    assert "predictor" not in [check["name"] for check in written["verdict"]["checks"]]


def edit_spec(path, **changes):
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["shape_prior"].update(changes)
    torch.save(checkpoint, path)


def refused(fold_root, match, error=ValueError, **arguments):
    with pytest.raises(error, match=match) as caught:
        report(fold_root / "report", **arguments)
    assert "\n" not in str(caught.value)
    assert not (fold_root / "report").exists()


def test_without_a_prior_the_command_that_makes_one_is_named(fold):
    shutil.rmtree(fold / "results" / DATASET)
    refused(fold, "nnUNetv2_train 99 quick 0 -tr ShapePriorTrainer$", FileNotFoundError)


def test_a_prior_of_another_format_is_refused(fold):
    edit_spec(prior_file(fold), format_version=1)
    refused(fold, "format version 1, .* Train one with: nnUNetv2_train 99 quick 0")


def test_a_prior_that_saw_held_out_cases_is_refused(fold):
    edit_spec(prior_file(fold), training_cases=["ball_08"])
    refused(fold, "saw the labels of 1 validation cases .*ball_08")


def test_a_prior_of_other_labels_is_refused(fold):
    edit_spec(prior_file(fold), labels={"background": 0, "thing": 1, "core": 2})
    refused(fold, "does not fit .* label set")


@pytest.mark.parametrize(
    ("arguments", "match", "error"),
    [
        ({"fold": "all"}, "Fold all has no held-out cases", ValueError),
        ({"fold": 1}, "no fold 1: .* folds 0 to 0", ValueError),
        ({"fold": "first"}, "no fold first", ValueError),
        ({"configuration": "slow"}, "no configuration slow, only quick", ValueError),
        ({"plans": "Other"}, "Other.json: .* -p", FileNotFoundError),
        ({"dataset": "98"}, "no dataset 98", ValueError),
        ({"device": "tpu"}, "-device takes cpu, cuda, mps", ValueError),
    ],
)
def test_what_is_not_there_is_refused(fold, arguments, match, error):
    refused(fold, match, error, **arguments)


def test_a_fold_without_held_out_cases_is_refused(fold):
    splits = fold / "preprocessed" / DATASET / "splits_final.json"
    splits.write_text(json.dumps([{**json.loads(splits.read_text())[0], "val": []}]))
    refused(fold, "has no held-out cases")


def test_other_content_in_the_output_is_left_alone(fold):
    output = fold / "report"
    output.mkdir()
    (output / "report.html.partial").touch()  # a kill left it
    (output / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds other things, such as thesis"):
        report(output)
    assert sorted(path.name for path in output.iterdir()) == ["report.html.partial", "thesis.tex"]


def test_a_file_as_output_is_refused(fold):
    output = fold / "report"
    output.write_text("")
    with pytest.raises(ValueError, match="is a file"):
        report(output)
