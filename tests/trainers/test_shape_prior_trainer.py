"""ShapePriorTrainer in the host's loop: stages, prior file, statistics, resuming, refusals."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed as dist

from acnn_nnunet.shape_prior.networks.tl_network import Stage
from acnn_nnunet.shape_prior.prior_file import load_prior
from acnn_nnunet.trainers import ShapePriorTrainer

REGIONS = {"labels": {"background": 0, "heart": [1, 2, 3], "cavity": [3]}, "regions_class_order": [1, 2]}


def test_a_whole_training_makes_a_prior(make_trainer):
    trainer = make_trainer(ShapePriorTrainer)
    trainer.run_training()
    folder = Path(trainer.output_folder)
    prior = load_prior(folder / "checkpoint_final.pth")
    training_cases, validation_cases = trainer.do_split()
    assert set(prior.spec.training_cases) == set(training_cases)
    assert not set(prior.spec.training_cases) & set(validation_cases)
    assert prior.spec.labels == {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    assert prior.spec.grid_size == tuple(trainer.configuration_manager.patch_size)
    assert prior.spec.stage == "joint"
    assert prior.network.code_mean.abs().sum() > 0
    assert not torch.equal(prior.network.code_covariance, torch.eye(64))
    assert torch.linalg.eigvalsh(prior.network.code_covariance.double()).min() > 0
    log = json.loads((folder / "acnn_log.json").read_text())
    assert log["stage"] == [0, 1, 2]
    assert len(log["reconstruction_dice"]) == 3
    assert (folder / "progress.png").is_file()

    # Validation runs on g(p(x)) and reports the held-out cases.
    trainer.perform_actual_validation()
    report = json.loads((folder / "validation" / "shape_prior.json").read_text())
    assert set(report["cases"]) == {str(case) for case in validation_cases}
    assert set(report["reconstruction_dice"]) == {"RV", "MYO", "LV"}
    assert report["predictor_distance"] > 0
    assert (folder / "validation" / "summary.json").is_file()


def test_it_goes_on_in_the_stage_it_was_saved_in(make_trainer):
    trainer = make_trainer(ShapePriorTrainer, block={"prior_num_epochs": 4})
    trainer.on_train_start()
    for _ in range(2):
        trainer.on_train_epoch_start()
        trainer.on_train_epoch_end([trainer.train_step(next(trainer.dataloader_train))])
        trainer.on_epoch_start()
        with torch.no_grad():
            trainer.on_validation_epoch_start()
            trainer.on_validation_epoch_end([trainer.validation_step(next(trainer.dataloader_val))])
        trainer.on_epoch_end()
    assert trainer.schedule.stage is Stage.PREDICTOR
    checkpoint = Path(trainer.output_folder) / "checkpoint_latest.pth"
    assert torch.load(checkpoint, weights_only=True)["shape_prior"]["stage"] == "autoencoder"
    resumed = make_trainer(ShapePriorTrainer, block={"prior_num_epochs": 4})
    resumed.load_checkpoint(str(checkpoint))
    assert resumed.schedule == trainer.schedule
    assert resumed.current_epoch == 2
    of_content = make_trainer(ShapePriorTrainer, block={"prior_num_epochs": 4})
    of_content.load_checkpoint(torch.load(checkpoint, weights_only=True))
    assert (of_content.schedule, of_content.current_epoch) == (trainer.schedule, 2)
    for name, value in trainer.network.state_dict().items():
        assert torch.equal(of_content.network.state_dict()[name], value)
    resumed.run_training()
    prior = load_prior(Path(resumed.output_folder) / "checkpoint_final.pth")
    assert prior.spec.stage == "joint"
    assert len(prior.spec.training_cases) == 8


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_labels_are_deformed_by_as_much_as_the_setting_says(make_trainer, configuration):
    """Without rotation and mirroring, what the host's augmentation leaves of a ramp differs by the displacement."""
    block = {"mirroring": False, "rotation_deg": 0}
    found = {}
    for voxels in (0.0, 3.0):
        block["elastic_deformation"] = voxels
        trainer = make_trainer(ShapePriorTrainer, configuration=configuration, block=block)
        rotation, dummy_2d, _, mirror_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        size = tuple(trainer.configuration_manager.patch_size)
        transforms = trainer.get_training_transforms(size, rotation, None, mirror_axes, dummy_2d, is_cascaded=False)
        (spatial,) = (each for each in transforms.transforms if type(each).__name__ == "SpatialTransform")
        spatial.p_scaling = 0
        ramp = torch.arange(size[-1], dtype=torch.float32).expand(1, *size).contiguous()
        np.random.seed(0)
        moved = spatial(image=ramp)["image"]
        inner = tuple(slice(4, -4) for _ in size)
        found[voxels] = (moved - ramp)[0][inner].abs().max().item()
    assert found[0.0] == pytest.approx(0, abs=1e-3)
    # The largest displacement is drawn between none and three voxels.
    assert 0.05 < found[3.0] < 3.3


@pytest.mark.parametrize(("configuration", "labels"), [("2d", None), ("3d_fullres", REGIONS)])
def test_the_papers_autoencoder_in_two_dimensions_and_with_regions(make_trainer, configuration, labels):
    trainer = make_trainer(ShapePriorTrainer, configuration=configuration, labels=labels, block={"preset": "paper"})
    trainer.run_training()
    prior = load_prior(Path(trainer.output_folder) / "checkpoint_final.pth")
    assert prior.spec.architecture == "cnn"
    assert prior.spec.regions == (labels is not None)
    trainer.perform_actual_validation()
    report = json.loads((Path(trainer.output_folder) / "validation" / "shape_prior.json").read_text())
    assert set(report["reconstruction_dice"]) == ({"heart", "cavity"} if labels else {"RV", "MYO", "LV"})


def test_an_autoencoder_alone_on_anatomy_that_has_one_way_round(make_trainer):
    block = {"train_predictor": False, "mirroring": False, "rotation_deg": 0}
    trainer = make_trainer(ShapePriorTrainer, block=block)
    trainer.initialize()
    untrained = {name: value.clone() for name, value in trainer.network.predictor.state_dict().items()}
    trainer.run_training()
    folder = Path(trainer.output_folder)
    prior = load_prior(folder / "checkpoint_final.pth")
    assert prior.spec.stage == "autoencoder"
    assert (prior.spec.mirroring, prior.spec.rotation_deg) == (False, 0)
    assert all(torch.equal(value, untrained[name]) for name, value in prior.network.predictor.state_dict().items())
    assert trainer.inference_allowed_mirroring_axes is None
    # The host's validation would show what an untrained predictor makes of images.
    trainer.perform_actual_validation()
    assert [file.name for file in (folder / "validation").iterdir()] == ["shape_prior.json"]


@pytest.mark.parametrize(
    ("block", "limit", "axes"),
    [
        ({}, np.pi / 6, None),
        ({"prior_weight": 0}, np.pi / 6, (0, 1, 2)),
        ({"mirroring": True}, np.pi / 6, (0, 1, 2)),
        ({"mirroring": "0,2"}, np.pi / 6, (0, 2)),
        ({"rotation_deg": 9.0, "mirroring": False, "prior_weight": 0}, np.pi / 20, None),
    ],
)
def test_rotation_stays_the_hosts_and_mirroring_where_there_is_no_prior(block, limit, axes, make_trainer):
    trainer = make_trainer(ShapePriorTrainer, block=block)
    rotation, _, _, mirror_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    assert rotation == pytest.approx((-limit, limit))
    assert mirror_axes == axes
    assert trainer.inference_allowed_mirroring_axes == axes
    assert trainer.spec.mirroring == {None: False, (0, 1, 2): True}.get(axes, axes)


@pytest.mark.parametrize(("configuration", "labels"), [("2d", None), ("3d_fullres", REGIONS)])
def test_a_box_around_the_anatomy(make_trainer, configuration, labels):
    block = {"grid": "roi", "roi_spacing_factor": 1.5, "num_iterations_per_epoch": 4}
    trainer = make_trainer(ShapePriorTrainer, configuration=configuration, labels=labels, block=block)
    trainer.run_training()
    folder = Path(trainer.output_folder)
    prior = load_prior(folder / "checkpoint_final.pth")
    spacing_mm = trainer.configuration_manager.spacing
    assert prior.spec.grid == "roi"
    assert prior.spec.grid_size == trainer.grid.size == trainer.network.roi.size
    assert prior.spec.spacing_mm == pytest.approx([1.5 * s for s in spacing_mm])
    assert np.prod(prior.spec.grid_size) < np.prod(trainer.configuration_manager.patch_size)
    log = json.loads((folder / "acnn_log.json").read_text())
    assert all(0 <= share < 1 for share in log["masked_share"])
    assert max(log["outside_share"]) < 0.05

    # Validation decodes the box in the middle of a patch back into the patch, and reports boxes around the anatomy.
    trainer.perform_actual_validation()
    report = json.loads((folder / "validation" / "shape_prior.json").read_text())
    assert set(report["reconstruction_dice"]) == ({"heart", "cavity"} if labels else {"RV", "MYO", "LV"})
    assert report["outside_share"] < 0.05

    # What goes on, or validates, takes the checkpoint's box and not one that is fitted anew.
    resumed = make_trainer(
        ShapePriorTrainer, configuration=configuration, labels=labels, block={**block, "roi_margin": 2.0}
    )
    resumed.load_checkpoint(str(folder / "checkpoint_final.pth"))
    assert resumed.grid.size == trainer.grid.size
    assert resumed.grid.steps == trainer.grid.steps


@pytest.mark.parametrize(("configuration", "labels", "grid"), [("2d", None, "patch"), ("3d_fullres", REGIONS, "roi")])
def test_a_hybrid_starts_as_pca_and_goes_on_without_a_second_start(make_trainer, configuration, labels, grid, capsys):
    # A single validation batch of 2D patches may miss the heart.
    block = {"grid": grid, "code_size": 5, "num_iterations_per_epoch": 4, "num_val_iterations_per_epoch": 4}
    trainer = make_trainer(ShapePriorTrainer, configuration=configuration, labels=labels, block=block)
    trainer.initialize()
    untouched = trainer.network.decoder.linear.weight.clone()
    trainer.run_training()
    # As many as the code is long, or fewer where boxes were masked.
    (components,) = re.findall(r"starts as PCA of signed distances, (\d+) components", capsys.readouterr().out)
    assert 1 <= int(components) <= 5
    assert not torch.allclose(untouched, trainer.network.decoder.linear.weight, atol=0.1)
    folder = Path(trainer.output_folder)
    prior = load_prior(folder / "checkpoint_final.pth")
    assert (prior.spec.architecture, prior.spec.stage) == ("hybrid", "joint")
    for name, value in prior.network.state_dict().items():
        assert torch.equal(value, trainer.network.state_dict()[name])
    assert not torch.equal(prior.network.code_covariance, torch.eye(5))
    log = json.loads((folder / "acnn_log.json").read_text())
    # Four steps an epoch know little; random weights know nothing (a Dice below 0.2).
    assert log["reconstruction_dice"][0] > 0.3, log
    trainer.perform_actual_validation()
    report = json.loads((folder / "validation" / "shape_prior.json").read_text())
    assert report["mean_reconstruction_dice"] > 0.3

    resumed = make_trainer(
        ShapePriorTrainer, configuration=configuration, labels=labels, block={**block, "prior_num_epochs": 4}
    )
    resumed.load_checkpoint(str(folder / "checkpoint_final.pth"))
    resumed.on_train_start()
    assert resumed.current_epoch == 3
    assert "starts as PCA" not in capsys.readouterr().out
    for name, value in prior.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name])


def test_the_box_is_fitted_to_the_training_cases_of_the_fold(make_trainer):
    trainer = make_trainer(ShapePriorTrainer, block={"grid": "roi", "roi_margin": 1.0})
    trainer.initialize()
    training_cases, _ = trainer.do_split()
    lengths = []
    for case in training_cases:
        label = trainer.dataset_class(trainer.preprocessed_dataset_folder, [case]).load_case(case)[1][:][0]
        lengths.append([np.ptp(np.nonzero(label > 0)[axis]) + 1 for axis in range(3)])
    wanted = np.percentile(lengths, 95, axis=0)
    assert all(wanted[i] <= trainer.grid.size[i] < wanted[i] + 5 for i in range(3))


def test_patches_that_never_hold_the_anatomy_are_refused(make_trainer):
    trainer = make_trainer(ShapePriorTrainer, block={"grid": "roi"})
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    batch = next(trainer.dataloader_train)
    batch["target"][:] = 1
    before = [parameter.clone() for parameter in trainer.network.parameters()]
    output = trainer.train_step(batch)
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))
    with pytest.raises(ValueError, match=r"No training patch of .*fold 0 held the whole anatomy.*use grid=patch"):
        trainer.on_train_epoch_end([output])


def test_validation_patches_without_a_whole_anatomy_are_left_out(make_trainer):
    trainer = make_trainer(ShapePriorTrainer, block={"preset": "paper", "grid": "roi"})
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    trainer.on_train_epoch_end([trainer.train_step(next(trainer.dataloader_train))])
    batch = next(trainer.dataloader_val)
    empty = {**batch, "target": torch.zeros_like(batch["target"])}
    with torch.no_grad():
        trainer.on_validation_epoch_start()
        outputs = [trainer.validation_step(one) for one in (empty, batch)]
        trainer.on_validation_epoch_end(outputs)
    assert np.isnan(outputs[0]["code_loss"])
    assert trainer.acnn_log.values["code_loss"] == [pytest.approx(float(outputs[1]["code_loss"]))]


def test_prediction_of_images_with_a_box_is_refused(make_trainer):
    trainer = make_trainer(ShapePriorTrainer, block={"grid": "roi"})
    with pytest.raises(NotImplementedError, match="nnUNetv2_predict does not run a shape prior of grid=roi"):
        ShapePriorTrainer.build_network_architecture(trainer.plans_manager, trainer.configuration_manager, 1, 4)


def test_the_file_says_how_well_each_label_comes_back(make_trainer, monkeypatch):
    trainer = make_trainer(ShapePriorTrainer)
    trainer.initialize()
    overlap, sizes = np.array([9.0, 3.0, 0.0, 0.0]), np.array([20.0, 8.0, 5.0, 0.0])
    output = {"reconstruction_loss": 1.0, "code_loss": 1.0, "reconstruction_overlap": overlap}
    host = {"loss": np.array(1.0), "tp_hard": np.ones(3), "fp_hard": np.ones(3), "fn_hard": np.ones(3)}
    trainer.on_validation_epoch_end([{**host, **output, "reconstruction_sizes": sizes}])
    assert trainer.spec.reconstruction_dice == {}
    monkeypatch.setattr("acnn_nnunet.trainers.shape_prior_trainer.measure_statistics", lambda *_: 0.0)
    trainer.on_train_end()
    assert trainer.spec.reconstruction_dice == {"RV": 0.75, "MYO": 0.0}  # LV was nowhere


def test_forward_is_decoder_of_predictor(make_trainer):
    trainer = make_trainer(ShapePriorTrainer)
    trainer.initialize()
    trainer.network.eval()
    image = torch.randn(1, 1, *trainer.configuration_manager.patch_size)
    with torch.no_grad():
        expected = trainer.network.decoder(trainer.network.predictor(image))
        assert torch.equal(trainer.network(image), expected)


def test_an_absent_label_is_said_and_training_goes_on(make_trainer, capsys):
    labels = {"labels": {"background": 0, "RV": 1, "MYO": 2, "LV": 3, "aorta": 4}}
    trainer = make_trainer(ShapePriorTrainer, labels=labels)
    trainer.on_train_start()
    assert "has the label aorta: the prior will know nothing of its shape" in capsys.readouterr().out
    assert np.isfinite(trainer.train_step(next(trainer.dataloader_train))["loss"])


def test_a_fold_without_foreground_is_refused(make_trainer, monkeypatch):
    monkeypatch.setattr("acnn_nnunet.fold_prior.training_cases.labels_present", lambda *_: set())
    with pytest.raises(ValueError, match=r"No training case of Dataset077_PhantomHeart.*has any foreground"):
        make_trainer(ShapePriorTrainer).on_train_start()


def test_a_cascades_second_stage_is_refused(make_trainer):
    changes = {
        "3d_lowres": {"inherits_from": "3d_fullres", "next_stage": "3d_cascade_fullres"},
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
    }
    with pytest.raises(NotImplementedError, match="cascade's second stage such as 3d_cascade_fullres"):
        make_trainer(ShapePriorTrainer, configuration="3d_cascade_fullres", changes=changes)


# The host takes a process group to mean CUDA.
@pytest.mark.filterwarnings("ignore:torch.cuda.amp.GradScaler is enabled, but CUDA is not available")
def test_ddp_is_refused(make_trainer, monkeypatch):
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    with pytest.raises(NotImplementedError, match=r"runs on one device.*leave out -num_gpus"):
        make_trainer(ShapePriorTrainer)
