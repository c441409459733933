"""What a prior file holds, and how one that cannot serve is refused."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from acnn_nnunet.shape_prior.prior_file import FORMAT_VERSION, PriorSpec, file_sha256, load_prior

SPEC = PriorSpec(
    dataset="Dataset001_X",
    plans="nnUNetPlans",
    configuration="3d_fullres",
    fold=0,
    labels={"background": 0, "a": 1, "b": 2},
    num_channels=3,
    regions=False,
    ignore_label=None,
    image_channels=1,
    grid="patch",
    grid_size=(12, 12, 12),
    spacing_mm=(1.0, 1.0, 1.0),
    code_size=8,
    stage="joint",
    training_cases=("case_1",),
)


def write(path, spec=SPEC, **changes):
    network = spec.make_network()
    torch.save({"network_weights": network.state_dict(), "shape_prior": {**spec.as_plain(), **changes}}, path)
    return network


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"architecture": "hybrid"},
        {"architecture": "hybrid", "grid_size": (3, 14, 13), "spacing_mm": (9.0, 1.0, 1.0)},
    ],
)
def test_round_trip(tmp_path, change):
    spec = dataclasses.replace(SPEC, **change)
    network = write(tmp_path / "prior.pth", spec)
    prior = load_prior(tmp_path / "prior.pth")
    assert prior.spec == spec
    assert not prior.network.training
    for name, value in prior.network.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])
    assert len(prior.sha256) == 64


def test_a_file_from_before_there_were_architectures(tmp_path):
    write(tmp_path / "prior.pth")
    content = torch.load(tmp_path / "prior.pth", weights_only=True)
    del content["shape_prior"]["architecture"]
    torch.save(content, tmp_path / "prior.pth")
    assert load_prior(tmp_path / "prior.pth").spec.architecture == "cnn"


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no shape prior at .*prior\.pth"):
        load_prior(tmp_path / "prior.pth")


@pytest.mark.parametrize("kept", [0, 1, 1000, -100])
def test_truncated(tmp_path, kept):
    write(tmp_path / "prior.pth")
    content = (tmp_path / "prior.pth").read_bytes()
    (tmp_path / "prior.pth").write_bytes(content[:kept])
    with pytest.raises(ValueError, match=r"prior\.pth cannot be read, it is truncated or no checkpoint"):
        load_prior(tmp_path / "prior.pth")


@pytest.mark.parametrize("content", [b"arms: a\n", b"test\n", b"epochs 3\n"])  # each an instruction to pickle
def test_a_text_file(tmp_path, content):
    (tmp_path / "prior.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"prior\.pth cannot be read, it is truncated or no checkpoint"):
        load_prior(tmp_path / "prior.pth")


def test_a_checkpoint_of_nnunet(tmp_path):
    best = np.float64(0.8)  # the host keeps such scalars, which no prior has
    torch.save({"network_weights": {}, "_best_ema": best}, tmp_path / "checkpoint_final.pth")
    with pytest.raises(ValueError, match=r"final\.pth cannot be read, it is truncated or no checkpoint of ShapePri"):
        load_prior(tmp_path / "checkpoint_final.pth")


def test_a_checkpoint_of_another_trainer(tmp_path):
    torch.save({"network_weights": {}}, tmp_path / "prior.pth")
    with pytest.raises(ValueError, match="not written by ShapePriorTrainer"):
        load_prior(tmp_path / "prior.pth")


def test_what_does_not_fit_is_said_in_one_line(tmp_path):
    path = tmp_path / "prior.pth"
    weights = SPEC.make_network().state_dict()
    whole = {"network_weights": weights, "shape_prior": SPEC.as_plain()}
    short = {**weights, "code_mean": torch.zeros(3)}
    for content, what in (
        ({"shape_prior": whole["shape_prior"]}, "KeyError: 'network_weights'"),
        ({**whole, "shape_prior": {**whole["shape_prior"], "later": 1}}, "TypeError: .*'later'"),
        ({**whole, "network_weights": short}, "RuntimeError: .*code_mean"),
    ):
        torch.save(content, path)
        with pytest.raises(ValueError, match=rf"^The shape prior {path} is damaged or of another version .*{what}"):
            load_prior(path)
    torch.save({**whole, "network_weights": {**weights, "code_mean": torch.full((8,), float("nan"))}}, path)
    with pytest.raises(ValueError, match="holds weights that are not finite: train it anew"):
        load_prior(path)


def test_another_format_version(tmp_path):
    write(tmp_path / "prior.pth", format_version=FORMAT_VERSION + 1)
    with pytest.raises(ValueError, match=f"format version {FORMAT_VERSION + 1}.*reads version {FORMAT_VERSION}"):
        load_prior(tmp_path / "prior.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"background": 0, "a": 1}}, "its label set is"),
        ({"regions": True}, "its regions is"),
        ({"grid": "roi"}, "its grid is patch, not roi"),
        ({"grid_size": (12, 12), "spacing_mm": (1.0, 1.0), "grid": "patch"}, "its number of axes is 3, not 2"),
        ({"grid_size": (12, 12, 8)}, r"its grid size is \(12, 12, 12\), not \(12, 12, 8\)"),
        ({"code_size": 16}, "its code size is 8, not 16"),
        ({"architecture": "hybrid"}, "its architecture is cnn, not hybrid"),
        ({"spacing_mm": (1.0, 1.0, 1.2)}, "its spacing in mm is"),
    ],
)
def test_mismatches_are_named(change, message):
    mismatch, *more = SPEC.mismatches(dataclasses.replace(SPEC, **change))
    assert not more or "number of axes" in mismatch
    assert mismatch.startswith(message.split(" is")[0])

    assert re.search(message, mismatch)


def test_regions_in_another_order_have_other_channels():
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    spec = dataclasses.replace(SPEC, labels=labels, num_channels=2, regions=True)
    turned = dataclasses.replace(spec, labels={"core": [2], "whole": [1, 2], "background": 0})
    assert LabelManager(labels, [1, 2]).foreground_regions != LabelManager(turned.labels, [1, 2]).foreground_regions
    assert spec.mismatches(turned) == ["its order of regions is ('whole', 'core'), not ('core', 'whole')"]
    moved = {"whole": [1, 2], "background": 0, "core": [2], "ignore": 3}
    assert spec.mismatches(dataclasses.replace(spec, labels=moved)) == []
    # Of classes the value is the channel, whatever their order.
    assert SPEC.mismatches(dataclasses.replace(SPEC, labels=dict(reversed(SPEC.labels.items())))) == []


def test_augmentation_that_the_prior_never_saw_is_named():
    narrow = dataclasses.replace(SPEC, mirroring=False, rotation_deg=15.0)
    mirrored, rotated = narrow.mismatches(dataclasses.replace(SPEC, rotation_deg=30.0))
    assert mirrored == "it never saw mirrored anatomy (mirroring=false), which this training makes"
    assert rotated.endswith("up to 15° only (rotation_deg), and this training rotates up to 30°")
    (wider,) = narrow.mismatches(dataclasses.replace(narrow, rotation_deg=20.0))
    assert wider.endswith("rotates up to 20°")
    # A prior that saw more than it will be asked about serves.
    assert narrow.mismatches(dataclasses.replace(narrow, rotation_deg=10.0)) == []
    assert dataclasses.replace(SPEC, rotation_deg=30.0).mismatches(narrow) == []
    # Files from before the host's own limit was kept.
    assert SPEC.mismatches(narrow) == []


def test_mirrored_anatomy_that_the_prior_never_saw_is_named():
    swapped = dataclasses.replace(SPEC, mirroring=(0, 2), mirrored_labels="1:2", mirrored_labels_axis=2)
    (all_axes,) = swapped.mismatches(SPEC)
    assert (
        all_axes == "it saw anatomy mirrored along axes 0, 2 alone (mirroring), and this training mirrors along axis 1"
    )
    (others,) = swapped.mismatches(dataclasses.replace(SPEC, mirroring=(2,)))
    assert others == (
        "in mirrored anatomy it saw labels 1:2 along axis 2 change places (mirrored_labels), and this training makes "
        "no labels do so"
    )
    (unswapped,) = SPEC.mismatches(swapped)
    assert unswapped.endswith(
        "saw no labels change places (mirrored_labels), and this training makes labels 1:2 along axis 2 do so"
    )
    # A training that does not mirror along that axis, or as the prior's did, is served.
    assert swapped.mismatches(dataclasses.replace(SPEC, mirroring=(0,))) == []
    assert swapped.mismatches(PriorSpec.from_plain(swapped.as_plain())) == []


def test_what_does_not_matter():
    other = dataclasses.replace(
        SPEC, configuration="3d_quick", fold=3, labels={**SPEC.labels, "ignore": 3}, ignore_label=3, image_channels=4
    )
    assert SPEC.mismatches(other) == []


def test_a_box_in_mm_fits_any_patch_of_as_many_axes():
    roi = dataclasses.replace(SPEC, grid="roi")
    assert roi.mismatches(dataclasses.replace(roi, grid_size=(40, 56, 40), spacing_mm=(2.0, 2.0, 3.0))) == []
    (mismatch,) = roi.mismatches(dataclasses.replace(roi, grid_size=(40, 56), spacing_mm=(2.0, 2.0)))
    assert mismatch == "its number of axes is 3, not 2"
    grid = roi.make_grid((2.0, 2.0, 0.5))
    assert grid.size == (12, 12, 12)
    assert grid.steps == (0.5, 0.5, 2)


def test_labels_that_training_cases_have_and_that_do_not_come_back_are_unlearnt():
    dice = {"a": 0.49, "b": 0.5, "c": 0.1}
    spec = dataclasses.replace(SPEC, reconstruction_dice=dice, absent_labels=("c",))
    assert spec.unlearnt_labels == {"a": 0.49}
    assert SPEC.unlearnt_labels == {}


@pytest.mark.parametrize(("stage", "expected"), [("autoencoder", False), ("predictor", True), ("joint", True)])
def test_a_predictor_is_trained_from_its_stage_on(stage, expected):
    assert dataclasses.replace(SPEC, stage=stage).has_predictor is expected


def test_the_hash_is_sha256(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert file_sha256(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
