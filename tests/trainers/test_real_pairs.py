"""Trainers on real pairs: plan-hr finds them, batches mix them, `--val` predicts the stacks of held-out cases."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from started_trainers import start, steps

from acnn_nnunet.files.volumes import read_volume, write_volume
from acnn_nnunet.sr.degradation.acquisition import Acquisition
from acnn_nnunet.sr.degradation.command import degrade_volume, generator_of
from acnn_nnunet.sr.inference.command import PredictHROptions, predict_hr
from acnn_nnunet.sr.pairs.dataset import is_pair
from acnn_nnunet.sr.planning.command import PlanHROptions, plan_hr
from acnn_nnunet.trainers import SRTrainer, SubPixelSegTrainer

FACTOR = 2


@pytest.fixture(scope="module")
def paired_folder(phantom_workspace, tmp_path_factory) -> Path:
    """The phantoms with a real stack of each of the first eight, in folders of their own."""
    root = tmp_path_factory.mktemp("paired")
    (source,) = (phantom_workspace / "nnUNet_raw").iterdir()
    raw, preprocessed = root / "nnUNet_raw" / source.name, root / "nnUNet_preprocessed" / source.name
    (raw / "imagesTr_lr").mkdir(parents=True)
    preprocessed.mkdir(parents=True)
    for entry in source.iterdir():
        (raw / entry.name).symlink_to(entry)
    for entry in (phantom_workspace / "nnUNet_preprocessed" / source.name).iterdir():
        if entry.suffix == ".json":
            shutil.copyfile(entry, preprocessed / entry.name)
        else:
            (preprocessed / entry.name).symlink_to(entry)
    for path in sorted((source / "imagesTr").iterdir())[:8]:
        stack = degrade_volume(read_volume(path), Acquisition(FACTOR), axis=0, generator=generator_of("a", seed=0))
        write_volume(raw / "imagesTr_lr" / path.name, stack)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("nnUNet_raw", "nnUNet_preprocessed"):
            patch.setenv(name, str(root / name))
        patch.setattr("acnn_nnunet.sr.pairs.command.MOST_PICTURES", 0)
        outcome = plan_hr("77", PlanHROptions(factor=FACTOR))
    assert outcome.complete, outcome.text
    return root


@pytest.fixture
def paired_workspace(paired_folder, tmp_path, monkeypatch) -> Path:
    for name in ("nnUNet_raw", "nnUNet_preprocessed"):
        monkeypatch.setenv(name, str(paired_folder / name))
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    monkeypatch.setenv("nnUNet_compile", "false")
    monkeypatch.setattr("acnn_nnunet.trainers.thick_slice_trainer.default_num_processes", 1)
    return paired_folder


def make(root, trainer_class, **block):
    (folder,) = (root / "nnUNet_preprocessed").iterdir()
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    settings = {"num_epochs": 1, "num_iterations_per_epoch": 2, "cpu_autocast": False, "seed": 0, "save_every": 1}
    plans["configurations"]["3d_hr_x2"]["acnn"] = {**settings, "num_val_iterations_per_epoch": 1, **block}
    dataset_json = json.loads((folder / "dataset.json").read_text())
    plans["continue_training"] = False
    return trainer_class(plans, "3d_hr_x2", 0, dataset_json, torch.device("cpu"))


def test_plans_name_the_pairs(paired_workspace):
    (folder,) = (paired_workspace / "nnUNet_preprocessed").iterdir()
    entry = json.loads((folder / "nnUNetPlans.json").read_text())["configurations"]["3d_hr_x2"]["acnn_hr"]
    assert entry == {"factor": 2, "axis": 0, "pairs": "nnUNetPlans_3d_hr_x2_pairs"}
    assert len(list((folder / entry["pairs"]).glob("*.b2nd"))) == 2 * 8


def test_pairs_of_other_plans_are_refused(paired_workspace):
    (folder,) = (paired_workspace / "nnUNet_preprocessed").iterdir()
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    first, *others = plans["configurations"]["3d_fullres"]["spacing"]
    plans["configurations"]["3d_fullres"]["spacing"] = [0.8 * first, *others]
    plans["continue_training"] = False
    dataset_json = json.loads((folder / "dataset.json").read_text())
    with pytest.raises(ValueError, match=r"_pairs were prepared on voxels of .* mm, .* run acnn-nnunet plan-hr again"):
        SubPixelSegTrainer(plans, "3d_hr_x2", 0, dataset_json, torch.device("cpu"))


@pytest.mark.parametrize("trainer_class", [SubPixelSegTrainer, SRTrainer])
def test_real_and_simulated_samples_are_the_same_stacks(paired_workspace, trainer_class):
    """The real stacks are simulated ones: what the network gets of a pair follows from the HR patch."""
    trainer = start(make(paired_workspace, trainer_class, pair_share=0.5, mirroring=False))
    kinds, compared = [], 0
    for _ in range(6):
        batch = next(trainer.dataloader_val)
        made = trainer._stacks_of(batch)
        axis, size = trainer.through_plane.axis, list(trainer.configuration_manager.patch_size)
        assert made.image.shape[1:] == (1, *size)
        size[axis] //= FACTOR
        assert made.stack.shape[1:] == (1, *size)
        again = trainer._batches.of(batch["data"], [str(key).removesuffix(":lr") for key in batch["keys"]])
        for key, mine, simulated in zip(batch["keys"], made.stack, again.stack, strict=True):
            kinds.append(is_pair(key))
            # The profile reaches two slices far; beyond the volume's ends the loader's zeros lie.
            padded = (mine == 0).all(2).all(2)[0] | (torch.arange(size[axis]) % (size[axis] - 1) == 0)
            inner = [k for k in range(size[axis]) if not padded[max(0, k - 2) : k + 3].any()]
            torch.testing.assert_close(mine[:, inner], simulated[:, inner], atol=2e-3, rtol=0)
            compared += len(inner)
        for mine, simulated in ((made.scale, again.scale), (made.offset, again.offset)):
            torch.testing.assert_close(mine, simulated, atol=2e-3, rtol=0)
    assert set(kinds) == {True, False}
    assert compared > 20
    assert np.isfinite(steps(trainer, 2)).all()


def test_worker_processes_draw_pairs_too(paired_workspace, monkeypatch):
    monkeypatch.setenv("nnUNet_n_proc_DA", "2")
    trainer = start(make(paired_workspace, SubPixelSegTrainer, pair_share=0.5))
    batches = [next(trainer.dataloader_train) for _ in range(12)]
    trainer.dataloader_train._finish()
    trainer.dataloader_val._finish()

    assert {batch["data"].shape[1] for batch in batches} == {2}
    assert {is_pair(key) for batch in batches for key in batch["keys"]} == {True, False}


def test_without_a_share_nothing_is_mixed(paired_workspace):
    trainer = start(make(paired_workspace, SubPixelSegTrainer, pair_share=0))
    assert trainer.pairs == {}
    assert next(trainer.dataloader_train)["data"].shape[1] == 1


@pytest.mark.parametrize("trainer_class", [SubPixelSegTrainer, SRTrainer])
def test_validation_predicts_the_real_stacks_of_held_out_cases(paired_workspace, tmp_path, trainer_class, capsys):
    trainer = make(paired_workspace, trainer_class)
    trainer.run_training()
    training, held_out = trainer.do_split()
    assert f"{len(set(training) & set(trainer.pairs))} of {len(training)} training cases have a real stack" in (
        capsys.readouterr().out
    )
    trainer.perform_actual_validation()
    folder = Path(trainer.output_folder)
    paired = sorted(set(held_out) & set(trainer.pairs))
    assert paired
    names = [f"{case}_0000" if trainer.predicts_image else case for case in paired]
    predictions = sorted(path.name for path in (folder / "validation_pairs").glob("*.nii.gz"))
    assert predictions == [f"{name}.nii.gz" for name in names]
    summary = json.loads((folder / "validation_pairs" / "summary.json").read_text())
    assert len(summary["metric_per_case"]) == len(paired)

    (raw,) = (paired_workspace / "nnUNet_raw").iterdir()
    stacks = tmp_path / "stacks"
    stacks.mkdir()
    for case in paired:
        (stacks / f"{case}_0000.nii.gz").symlink_to(raw / "imagesTr_lr" / f"{case}_0000.nii.gz")
    options = PredictHROptions("77", "3d_hr_x2", trainer_class.__name__, folds=(0,))
    assert predict_hr(stacks, tmp_path / "out", options).complete
    for name in names:
        ours, theirs, reference = (
            SimpleITK.ReadImage(str(where / f"{name}.nii.gz"))
            for where in (tmp_path / "out", folder / "validation_pairs", folder / "validation_pairs_references")
        )
        assert ours.GetOrigin() == pytest.approx(theirs.GetOrigin())
        assert reference.GetSize() == theirs.GetSize() == ours.GetSize()
        np.testing.assert_array_equal(*(SimpleITK.GetArrayFromImage(image) for image in (ours, theirs)))


def test_several_factors_go_without_pairs(paired_workspace):
    with pytest.raises(ValueError, match=r"factors=2,4 simulates stacks of several spacings.*pair_share=0"):
        make(paired_workspace, SubPixelSegTrainer, factors="2,4")
    assert make(paired_workspace, SubPixelSegTrainer, factors="2,4", pair_share=0).pairs == {}
