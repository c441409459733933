"""ACNNTrainer in the host's hands: what it trains, what it leaves alone, and what it refuses."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from acnn_nnunet.shape_prior.loss.prior_loss import CrossEntropyPerClass, ShapePriorLoss
from acnn_nnunet.shape_prior.prior_file import load_prior
from acnn_nnunet.shape_prior.training.augmentation import HidePartsTransform
from acnn_nnunet.trainers import ACNNTrainer, ShapePriorTrainer

REGIONS = {
    "labels": {"background": 0, "heart": [1, 2, 3], "left": [2, 3], "cavity": [3]},
    "regions_class_order": [1, 2, 3],
}
IGNORE = {"labels": {"background": 0, "RV": 1, "MYO": 2, "ignore": 3}}
REGIONS_AND_IGNORE = {
    "labels": {"background": 0, "right and wall": [1, 2], "wall": [2], "ignore": 3},
    "regions_class_order": [1, 2],
}
CASCADE = {
    "3d_lowres": {"inherits_from": "3d_fullres", "next_stage": "3d_cascade_fullres"},
    "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
}


def steps(trainer, count: int) -> list[float]:
    """Take training steps on the trainer's own batches."""
    trainer.dataloader_train, trainer.dataloader_val = trainer.get_dataloaders()
    trainer.on_train_epoch_start()
    return [float(trainer.train_step(next(trainer.dataloader_train))["loss"]) for _ in range(count)]


def made_up_batch(trainer, channels: int) -> dict:
    """Return a batch as the host's loader makes it, of random labels: every value, the ignore label included."""
    size = trainer.configuration_manager.patch_size
    manager = trainer.label_manager
    values = torch.randint(len(manager.all_labels) + manager.has_ignore_label, (2, 1, *size))
    target = values.short()
    if manager.has_regions:
        regions = [*manager.foreground_regions, *([manager.ignore_label] if manager.has_ignore_label else [])]
        target = torch.cat([torch.isin(values, torch.tensor(region)) for region in regions], 1)
    if trainer.enable_deep_supervision:
        steps_of = [[round(1 / s) for s in scale] for scale in trainer._get_deep_supervision_scales()]
        target = [target[(..., *(slice(None, None, step) for step in steps))] for steps in steps_of]
    return {"data": torch.randn(2, channels, *size), "target": target, "keys": ["a", "b"]}


def test_prior_weight_zero_is_the_host_step_for_step(make_trainer):
    """Same seed, same batches, same losses and bitwise the same weights as nnUNetTrainer; and no prior is asked for."""

    def run(trainer_class, **block):
        trainer = make_trainer(trainer_class, block=block)
        for seed in (torch.manual_seed, np.random.seed):
            seed(0)
        trainer.num_epochs = 2
        trainer.initialize()
        for seed in (torch.manual_seed, np.random.seed):
            seed(1)
        return steps(trainer, 3), trainer.network.state_dict()

    host_losses, host_weights = run(nnUNetTrainer)
    losses, weights = run(ACNNTrainer, prior_weight=0, seed=None)
    assert losses == host_losses
    assert all(torch.equal(value, host_weights[name]) for name, value in weights.items())


@pytest.mark.parametrize(
    ("configuration", "labels", "block"),
    [
        ("3d_fullres", None, {}),
        ("3d_fullres", None, {"deep_supervision": False}),
        ("3d_fullres", None, {"segmentation_loss": "ce"}),
        ("3d_fullres", None, {"segmentation_loss": "ce_per_class", "deep_supervision": False}),
        ("3d_fullres", None, {"preset": "paper"}),
        ("3d_fullres", None, {"cpu_autocast": True}),
        ("3d_fullres", REGIONS, {}),
        ("3d_fullres", REGIONS, {"deep_supervision": False, "segmentation_loss": "ce"}),
        ("3d_fullres", IGNORE, {}),
        ("3d_fullres", REGIONS_AND_IGNORE, {}),
        ("2d", None, {}),
        ("2d", REGIONS, {"preset": "paper"}),
        ("3d_fullres", REGIONS, {"preset": "paper"}),
        ("3d_fullres", None, {"grid": "roi", "outside_weight": 1.0}),
        ("3d_fullres", REGIONS, {"grid": "roi", "outside_weight": 1.0}),
        ("2d", None, {"grid": "roi"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_every_kind_of_training_feels_the_prior(make_trainer, make_prior, configuration, labels, block):
    block = {"prior_warm_up": 0, **block}
    make_prior(configuration=configuration, labels=labels, block=block)
    trainer = make_trainer(ACNNTrainer, configuration=configuration, labels=labels, block=block)
    trainer.initialize()
    prior = copy.deepcopy(trainer.prior.network.state_dict())
    weights = copy.deepcopy(trainer.network.state_dict())
    if trainer.label_manager.has_ignore_label:
        # The phantoms were preprocessed without an ignore label, so that the host's loader cannot sample for it.
        trainer.on_train_epoch_start()
        assert all(np.isfinite(trainer.train_step(made_up_batch(trainer, 1))["loss"]) for _ in range(2))
    else:
        assert np.isfinite(steps(trainer, 2)).all()
    statistics = trainer.loss.take_statistics()
    assert statistics["prior_distance"] > 0
    assert statistics["gradient_ratio"] > 0
    assert any(not torch.equal(value, weights[name]) for name, value in trainer.network.state_dict().items())
    assert all(torch.equal(value, prior[name]) for name, value in trainer.prior.network.state_dict().items())
    optimised = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert optimised == {id(p) for p in trainer.network.parameters()}
    with torch.no_grad():
        trainer.on_validation_epoch_start()
        assert np.isfinite(trainer.validation_step(made_up_batch(trainer, 1))["loss"])


def test_a_box_serves_a_configuration_of_another_patch_and_spacing(make_trainer, make_prior):
    path = make_prior(block={"grid": "roi"})
    patch = load_prior(path).spec.grid_size
    plans_patch = make_trainer(ShapePriorTrainer).configuration_manager.patch_size
    other = {"inherits_from": "3d_fullres", "patch_size": [plans_patch[0], *(n + 16 for n in plans_patch[1:])]}
    # The labels do not change, so that this configuration's anatomy is twice as long in mm: half fits into the box.
    coarser = {**other, "spacing": [2 * s for s in make_trainer(ACNNTrainer).configuration_manager.spacing]}
    for name, steps_of in (("other", 1), ("coarser", 0.5)):
        changes = {"other": other, "coarser": coarser}
        block = {"grid": "roi", "prior_warm_up": 0, "rotation_deg": 30}
        trainer = make_trainer(ACNNTrainer, configuration=name, changes=changes, block=block)
        trainer.initialize()
        grid = trainer.loss.prior.grid
        assert trainer.prior.path == path
        assert grid.size == patch
        assert grid.steps == (steps_of,) * 3
        assert np.isfinite(steps(trainer, 3)).all()
        statistics = trainer.loss.take_statistics()
        assert statistics["gradient_ratio"] > 0
        assert (statistics["outside_share"] > 0.2) == (name == "coarser")

    # nnU-Net rotates so thick a patch all the way round in its plane.
    trainer = make_trainer(ACNNTrainer, configuration="other", changes={"other": other}, block={"grid": "roi"})
    with pytest.raises(ValueError, match=r"saw rotations up to 30° only .* this training rotates up to 180°"):
        trainer.initialize()


def test_an_epoch_without_a_whole_anatomy_is_said(make_trainer, make_prior, capsys):
    make_prior(block={"grid": "roi"})
    trainer = make_trainer(ACNNTrainer, block={"grid": "roi"})
    trainer.initialize()
    batch = made_up_batch(trainer, 1)  # random labels reach every face
    trainer.on_train_epoch_start()
    trainer.on_train_epoch_end([trainer.train_step(batch)])
    assert "WARNING: no training patch of this epoch held the whole anatomy" in capsys.readouterr().out


def test_a_prior_of_another_grid_is_refused(make_trainer, make_prior):
    make_prior()
    with pytest.raises(ValueError, match="its grid is patch, not roi"):
        make_trainer(ACNNTrainer, block={"grid": "roi"}).initialize()


def test_the_paper_preset_is_the_papers(make_trainer, make_prior):
    make_prior(block={"preset": "paper"})
    trainer = make_trainer(ACNNTrainer, block={"preset": "paper"})
    trainer.initialize()
    assert trainer.loss.weight == 0.01
    assert not trainer.loss.balance_gradients
    assert type(trainer.loss.prior.distance).__name__ == "SquaredDistance"
    assert isinstance(trainer.loss.segmentation_loss.loss, CrossEntropyPerClass)
    assert trainer.optimizer.param_groups[0]["weight_decay"] == 5e-6
    trainer.on_train_epoch_start()
    assert trainer.loss.warm_up == 1


def test_warm_up_grows_linearly(make_trainer, make_prior):
    make_prior()
    trainer = make_trainer(ACNNTrainer, block={"num_epochs": 20, "prior_warm_up": 0.2})
    trainer.initialize()
    ramp = []
    for trainer.current_epoch in range(6):
        trainer.logger.local_logger.my_fantastic_logging["lrs"] = [0] * trainer.current_epoch
        trainer.on_train_epoch_start()
        ramp.append(trainer.loss.warm_up)
    assert ramp == [0, 0.25, 0.5, 0.75, 1, 1]


def test_the_cascades_second_stage_uses_the_prior_of_3d_fullres(make_trainer, make_prior):
    path = make_prior()
    trainer = make_trainer(ACNNTrainer, configuration="3d_cascade_fullres", changes=CASCADE)
    trainer.initialize()
    assert trainer.prior.path == path
    trainer.current_epoch = 1  # past the warm-up
    trainer.loss.warm_up = 1.0
    assert np.isfinite(trainer.train_step(made_up_batch(trainer, 4))["loss"])
    assert trainer.loss.take_statistics()["gradient_ratio"] > 0


def test_nothing_of_the_prior_is_in_the_checkpoint(make_trainer, make_prior, tmp_path):
    make_prior()
    trainer, host = make_trainer(ACNNTrainer), make_trainer(nnUNetTrainer)
    for one, name in ((trainer, "acnn"), (host, "host")):
        one.initialize()
        one.save_checkpoint(str(tmp_path / f"{name}.pth"))
    ours, stock = (torch.load(tmp_path / f"{name}.pth", weights_only=False) for name in ("acnn", "host"))
    assert ours.keys() == stock.keys()
    assert ours["network_weights"].keys() == stock["network_weights"].keys()
    assert ours["optimizer_state"]["param_groups"][0]["params"] == stock["optimizer_state"]["param_groups"][0]["params"]


def test_training_writes_log_picture_and_record_and_goes_on_with_the_same_prior_only(make_trainer, make_prior):
    path = make_prior()
    trainer = make_trainer(ACNNTrainer)
    trainer.run_training()
    folder = Path(trainer.output_folder)
    log = json.loads((folder / "acnn_log.json").read_text())
    assert set(log) >= {"segmentation_loss", "prior_loss", "gradient_ratio"}
    assert all(len(values) == 2 and np.isfinite(values).all() for values in log.values())
    assert (folder / "acnn_progress.png").stat().st_size > 1000
    assert json.loads((folder / "acnn_run.json").read_text())["prior"] == str(path)

    # Validation and prediction need no prior; training that goes on needs it, and needs that very one.
    path.rename(path.with_suffix(".away"))
    resumed = make_trainer(ACNNTrainer, block={"num_epochs": 3})
    resumed.load_checkpoint(str(folder / "checkpoint_final.pth"))
    assert not isinstance(resumed.loss, ShapePriorLoss)
    with pytest.raises(
        FileNotFoundError, match=r"No shape prior.*nnUNetv2_train 77 3d_fullres 0 -tr ShapePriorTrainer"
    ):
        resumed.on_train_start()

    make_prior(block={"seed": 123})
    resumed = make_trainer(ACNNTrainer, block={"num_epochs": 3})
    resumed.load_checkpoint(str(folder / "checkpoint_final.pth"))
    with pytest.raises(ValueError, match="bring the first one back, or train anew without --c"):
        resumed.on_train_start()

    path.with_suffix(".away").rename(path)
    resumed = make_trainer(ACNNTrainer, block={"num_epochs": 3})
    resumed.load_checkpoint(str(folder / "checkpoint_final.pth"))
    resumed.run_training()
    assert len(json.loads((folder / "acnn_log.json").read_text())["prior_loss"]) == 3


def test_pretrained_weights_of_a_stock_model(make_trainer, make_prior, tmp_path):
    make_prior()
    host = make_trainer(nnUNetTrainer)
    host.initialize()
    host.save_checkpoint(str(tmp_path / "stock.pth"))
    trainer = make_trainer(ACNNTrainer, block={"seed": 5})
    trainer.initialize()
    load_pretrained_weights(trainer.network, str(tmp_path / "stock.pth"))
    for name, value in trainer.network.state_dict().items():
        if ".seg_layers." not in name:
            assert torch.equal(value, host.network.state_dict()[name])
    assert np.isfinite(steps(trainer, 1)).all()


def test_seeded_runs_repeat(make_trainer, make_prior):
    make_prior()

    def run():
        trainer = make_trainer(ACNNTrainer, block={"seed": 3})
        trainer.initialize()
        trainer._seed()
        return steps(trainer, 2)

    assert run() == run()


def test_another_folds_prior_is_refused(make_trainer, make_prior, tmp_path):
    trainer = make_trainer(ShapePriorTrainer, fold=1)
    trainer.run_training()
    trainer = make_trainer(ACNNTrainer, block={"prior": str(Path(trainer.output_folder) / "checkpoint_final.pth")})
    with pytest.raises(ValueError, match=r"trained on fold 1 and saw the labels of \d validation cases .*fold 0"):
        trainer.on_train_start()


def test_a_prior_of_another_label_set_is_refused(make_trainer, make_prior):
    make_prior(labels=IGNORE)
    with pytest.raises(
        ValueError, match=r"does not fit Dataset077_PhantomHeart.*its label set is .*Train a fitting one"
    ):
        make_trainer(ACNNTrainer).initialize()


def test_a_prior_that_is_not_finished_is_refused(make_trainer, make_prior):
    path = make_prior()
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["shape_prior"]["complete"] = False
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match="was saved before its training ended"):
        make_trainer(ACNNTrainer).initialize()


def test_a_prior_that_has_not_learnt_a_label_warns(make_trainer, make_prior, capsys):
    """Not of a label that no training case has: that is said in a sentence of its own."""
    path = make_prior()
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["shape_prior"] |= {"reconstruction_dice": {"RV": 0.02, "MYO": 0.81, "LV": 0.1}, "absent_labels": ["LV"]}
    torch.save(checkpoint, path)
    make_trainer(ACNNTrainer).initialize()
    said = capsys.readouterr().out
    assert "has not learnt to draw RV (Dice 0.02) back" in said
    assert "never saw LV" in said


def test_a_prior_that_rotated_as_the_host_does_is_not_rotated_further(make_trainer, make_prior):
    path = make_prior()

    def start(rotation_deg):
        trainer = make_trainer(ACNNTrainer, block={"rotation_deg": rotation_deg})
        trainer.initialize()
        trainer.get_dataloaders()

    start(30)
    with pytest.raises(ValueError, match=f"{path} does not fit .*: it saw rotations up to 30° only .* up to 90°"):
        start(90)


def test_parts_are_hidden_where_the_setting_says_so(make_trainer):
    def last_transform(block):
        trainer = make_trainer(ACNNTrainer, block={"prior_weight": 0, **block})
        trainer.initialize()
        return trainer.get_dataloaders()[0].data_loader.transforms.transforms[-1]

    assert isinstance(last_transform({"hidden_parts": 0.4}), HidePartsTransform)
    assert not isinstance(last_transform({"hidden_parts": "auto"}), HidePartsTransform)  # without a prior
    assert not isinstance(last_transform({}), HidePartsTransform)


def test_fold_all_warns(make_trainer, make_prior, capsys):
    make_prior(fold="all")
    trainer = make_trainer(ACNNTrainer, fold="all")
    trainer.on_train_start()
    assert "WARNING: fold all" in capsys.readouterr().out


def test_slices_cannot_be_corrected_by_a_prior_of_slices(make_trainer):
    with pytest.raises(ValueError, match=r"prior_at_inference=true of 2d .* needs one of volumes"):
        make_trainer(ACNNTrainer, configuration="2d", block={"prior_at_inference": True})
    block = {"prior_at_inference": True, "prior": "of/volumes.pth"}
    with pytest.raises(ValueError, match=r"prior_at_inference=true of 2d .* needs one of volumes"):
        make_trainer(ACNNTrainer, configuration="2d", block=block)
    make_trainer(ACNNTrainer, configuration="2d", block={**block, "prior_weight": 0})


def test_a_missing_prior_for_predictions_is_said_before_the_training(make_trainer):
    trainer = make_trainer(ACNNTrainer, block={"prior_at_inference": True, "prior_weight": 0})
    with pytest.raises(FileNotFoundError, match=r"No shape prior for .* Train it first with: nnUNetv2_train "):
        trainer.on_train_start()


@pytest.mark.parametrize("wanted", [True, False])
def test_validation_predictions_are_corrected_where_the_setting_says_so(make_trainer, monkeypatch, wanted):
    validated, commands = [], []
    monkeypatch.setattr(nnUNetTrainer, "perform_actual_validation", lambda self, save: validated.append(save))
    monkeypatch.setattr(
        "acnn_nnunet.trainers.acnn_trainer.run_our_command", lambda words: commands.append([*map(str, words)]) or "done"
    )
    block = {"prior_at_inference": wanted, "prior_weight": 0, "prior": "some/prior.pth"}
    trainer = make_trainer(ACNNTrainer, block=block)

    trainer.perform_actual_validation()

    folder = trainer.output_folder
    expected = ["refine", f"{folder}/validation", "--prior", "some/prior.pth", "-o", f"{folder}/validation_refined"]
    assert commands == ([expected] if wanted else [])
    assert validated == [wanted]  # with probabilities, or as asked for
