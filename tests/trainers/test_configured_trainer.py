"""What every trainer of ours does with settings, folds, files and data that cannot be used."""

import errno
import json
from pathlib import Path

import pytest
import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from acnn_nnunet.trainers import ACNNTrainer, AESegTrainer, ShapePriorTrainer


def test_a_fold_beyond_the_splits_is_refused_by_both(make_trainer):
    for trainer_class in (ACNNTrainer, ShapePriorTrainer):
        with pytest.raises(ValueError, match=r"Fold 7 of Dataset077_PhantomHeart does not exist.*tears a patient"):
            make_trainer(trainer_class, fold=7).on_train_start()


def test_a_split_that_leads_out_of_the_folder_is_refused(make_trainer, tmp_path):
    trainer = make_trainer(ACNNTrainer)
    trainer.preprocessed_dataset_folder_base = str(tmp_path)
    splits = [{"train": ["phantom_tr000"], "val": ["../../evil"]}]
    (tmp_path / "splits_final.json").write_text(json.dumps(splits))

    with pytest.raises(ValueError, match=r"splits_final\.json names '\.\./\.\./evil', which would lead out"):
        trainer.do_split()


def test_distributed_processes_wait_for_the_last_checkpoint(make_trainer, monkeypatch):
    done = []
    monkeypatch.setattr(nnUNetTrainer, "on_train_end", lambda self: done.append("written"))
    monkeypatch.setattr("torch.distributed.barrier", lambda: done.append("waited"))
    trainer = make_trainer(ACNNTrainer)
    trainer.on_train_end()
    trainer.is_ddp = True
    trainer.on_train_end()
    assert done == ["written", "written", "waited"]


def test_nan_in_an_image_names_the_case(make_trainer, make_prior):
    make_prior()
    trainer = make_trainer(ACNNTrainer)
    trainer.initialize()
    trainer.dataloader_train, _ = trainer.get_dataloaders()
    batch = next(trainer.dataloader_train)
    batch["data"][1, 0, 3, 3, 3] = float("nan")
    case = batch["keys"][1]
    with pytest.raises(ValueError, match=rf"NaN or infinity in the image of .*{case}.*preprocess again"):
        trainer.train_step(batch)


def test_a_full_disk_keeps_the_old_checkpoint(make_trainer, make_prior, monkeypatch, capsys):
    make_prior()
    trainer = make_trainer(ACNNTrainer)
    trainer.initialize()
    path = Path(trainer.output_folder) / "checkpoint_latest.pth"
    trainer.save_checkpoint(str(path))
    before = path.read_bytes()

    def full(checkpoint, filename):
        Path(filename).write_bytes(b"half a chec")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    trainer.save_checkpoint(str(path))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.glob("*.partial")] == []
    assert "No space left on device" in capsys.readouterr().out
    with pytest.raises(OSError, match=r"Could not write .*checkpoint_final\.pth .*free some space"):
        trainer.save_checkpoint(str(path.with_name("checkpoint_final.pth")))


def test_a_truncated_checkpoint_is_one_sentence(make_trainer, make_prior):
    make_prior()
    trainer = make_trainer(ACNNTrainer)
    trainer.initialize()
    path = Path(trainer.output_folder) / "checkpoint_latest.pth"
    trainer.save_checkpoint(str(path))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"checkpoint_latest\.pth is truncated or no checkpoint"):
        make_trainer(ACNNTrainer).load_checkpoint(str(path))


def test_a_bad_setting_names_plans_and_configuration(make_trainer):
    with pytest.raises(ValueError, match=r"3d_fullres.*unknown key 'prior_wieght', allowed are preset"):
        make_trainer(ACNNTrainer, block={"prior_wieght": 1})


def test_a_results_folder_that_cannot_be_written(make_trainer, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"Cannot write results of Dataset077_PhantomHeart.*point nnUNet_results"):
        make_trainer(ACNNTrainer)


def test_settings_become_the_hosts_numbers(make_trainer):
    block = {"num_epochs": 7, "num_iterations_per_epoch": 3, "num_val_iterations_per_epoch": 4, "save_every": 5}
    trainer = make_trainer(ACNNTrainer, block={**block, "weight_decay": 0.25, "deep_supervision": False})

    assert {name: getattr(trainer, name) for name in block} == block
    assert (trainer.weight_decay, trainer.enable_deep_supervision) == (0.25, False)


def test_a_training_that_has_ended_leaves_its_final_checkpoint_alone(make_trainer, capsys):
    trainer = make_trainer(AESegTrainer)
    final = Path(trainer.output_folder) / "checkpoint_final.pth"
    final.write_bytes(b"as it was")
    trainer.current_epoch = trainer.num_epochs

    trainer.run_training()

    assert final.read_bytes() == b"as it was"
    assert "Training has ended already (2 epochs); only validation follows." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, r"^The disk is full .* configuration 3d_fullres, fold 0: free some space; "),
        (errno.EIO, "^.Errno 5"),
    ],
)
def test_a_full_disk_ends_a_training_with_the_remedy_and_other_errors_stay(make_trainer, monkeypatch, number, message):
    def fail(self):
        raise OSError(number, "cannot write")

    monkeypatch.setattr(nnUNetTrainer, "run_training", fail)

    with pytest.raises(OSError, match=message):
        make_trainer(AESegTrainer).run_training()


@pytest.mark.parametrize(("autocast", "words"), [(True, "bfloat16 autocast"), (False, "float32")])
def test_the_log_says_how_this_cpu_computes(make_trainer, capsys, autocast, words):
    make_trainer(AESegTrainer, block={"cpu_autocast": autocast}).initialize()

    assert (
        f"the network runs in {words} on this CPU (setting cpu_autocast={str(autocast).lower()})"
        in capsys.readouterr().out
    )


REGIONS = {
    "labels": {"background": 0, "sides": [1, 3], "RV": [1], "LV": [3], "MYO": 2},
    "regions_class_order": [1, 1, 3, 2],
}


def training_transforms(trainer, scales):
    """Return the host's augmentation as its loader gets it, from mirroring on: what comes before moves labels."""
    rotation, dummy_2d, _, mirror_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    manager = trainer.label_manager
    transforms = trainer.get_training_transforms(
        trainer.configuration_manager.patch_size,
        rotation,
        scales,
        mirror_axes,
        dummy_2d,
        regions=manager.foreground_regions if manager.has_regions else None,
        ignore_label=manager.ignore_label,
    )

    place = next(i for i, each in enumerate(transforms.transforms) if isinstance(each, MirrorTransform))
    transforms.transforms = transforms.transforms[place:]
    return transforms


@pytest.mark.parametrize("trainer_class", [ACNNTrainer, ShapePriorTrainer, AESegTrainer])
@pytest.mark.parametrize("labels", [None, REGIONS], ids=["labels", "regions"])
def test_labels_change_places_in_mirrored_samples_before_targets_are_made_of_them(make_trainer, trainer_class, labels):
    block = {"mirroring": "0,2", "mirrored_labels": "RV:LV", "mirrored_labels_axis": 2}
    trainer = make_trainer(trainer_class, block=block, labels=labels)
    transforms = training_transforms(trainer, [[1, 1, 1], [0.5, 0.5, 0.5]])
    assert trainer.inference_allowed_mirroring_axes == (0,)
    before = torch.randint(-1, 4, (1, 8, 8, 8))
    image = torch.arange(512.0).reshape(1, 8, 8, 8)
    seen = set()
    for seed in range(12):
        torch.manual_seed(seed)
        result = transforms(image=image.clone(), segmentation=before.clone())
        axes = [1, 3] if result["image"][0, 0, 0, 0] == 455 else [3] if result["image"][0, 0, 0, 0] == 7 else []
        if not axes:
            continue
        seen.add(len(axes))
        flipped = before.clamp(min=0).flip(axes)
        expected = torch.tensor([0, 3, 2, 1])[flipped]  # RV is 1, LV 3
        if labels:
            regions = trainer.label_manager.foreground_regions
            expected = torch.cat([torch.isin(expected, torch.tensor(region)) for region in regions])
        full, half = result["segmentation"]
        assert torch.equal(full.long(), expected.long())
        assert half.shape[1:] == (4, 4, 4)
    assert seen == {1, 2}


def test_without_settings_the_hosts_own_mirroring_stays(make_trainer):
    trainer = make_trainer(ACNNTrainer, block={"prior_weight": 0})
    assert type(training_transforms(trainer, None).transforms[0]) is MirrorTransform
    assert trainer.inference_allowed_mirroring_axes == (0, 1, 2)


@pytest.mark.parametrize(
    ("configuration", "block", "message"),
    [
        ("2d", {"mirroring": 2}, r"configuration 2d .*: mirroring names axis 2, and a patch .* has 0, 1 only\.$"),
        ("3d_fullres", {"mirroring": 2, "mirrored_labels": "RV:XV"}, "names 'XV', which the dataset lacks"),
        ("3d_fullres", {"mirrored_labels": "RV:LV"}, "needs mirroring along an axis"),
    ],
)
def test_mirroring_that_the_data_does_not_have(make_trainer, configuration, block, message):
    with pytest.raises(ValueError, match=f"^Bad setting in the 'acnn' block of .*{message}"):
        make_trainer(ACNNTrainer, configuration=configuration, block=block)


def test_the_log_says_what_is_mirrored(make_trainer, capsys):
    make_trainer(AESegTrainer, block={"mirroring": 1, "mirrored_labels": "1:3"}).initialize()

    assert "Mirrors along axis 1 (y of the files); labels 1:3 change places" in capsys.readouterr().out
