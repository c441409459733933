"""AESegTrainer in the host's hands, and `acnn-nnunet refine` with what it leaves."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch

from acnn_nnunet.casewise.work import PerWorker
from acnn_nnunet.cli import main
from acnn_nnunet.nnunet.models import ModelBundle
from acnn_nnunet.refinement.second_stage import Refiner, SecondStageOptions, load_refiner, refine_folder
from acnn_nnunet.trainers import ACNNTrainer, AESegMTrainer, AESegTrainer

DATASET = "77"


def parameters(trainer) -> int:
    return sum(p.numel() for p in trainer.network.parameters())


@pytest.fixture
def untrained(make_trainer) -> Refiner:
    """A second stage with random weights."""
    trainer = make_trainer(AESegTrainer)
    trainer.initialize()
    bundle = ModelBundle(
        trainer.plans_manager,
        trainer.configuration_manager,
        trainer.dataset_json,
        "3d_fullres",
        network=trainer.network.eval(),
    )
    return Refiner(bundle, "cpu")


@pytest.fixture
def labels_folder(workspace, tmp_path) -> Path:
    """Three label maps."""
    (dataset,) = (workspace / "nnUNet_raw").iterdir()
    folder = tmp_path / "label maps"
    folder.mkdir()
    for file in sorted((dataset / "labelsTr").iterdir())[:3]:
        shutil.copy(file, folder)
    return folder


def test_it_learns_from_labels_alone(make_trainer):
    trainer = make_trainer(AESegTrainer, block={"clean_share": 0.0})
    trainer.on_train_start()
    batch = next(trainer.dataloader_train)
    seen = []
    trainer.network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))

    trainer.train_step({**batch, "data": torch.full_like(batch["data"], torch.nan)})

    assert seen[0].shape[1] == trainer.labels.num_channels  # label maps, no image
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}
    assert (seen[0] != trainer.labels.target_maps(batch["target"])).any()


def test_m_has_more_parameters(make_trainer):
    small, large = make_trainer(AESegTrainer), make_trainer(AESegMTrainer)
    small.initialize()
    large.initialize()

    assert 60_000 < parameters(small) <= 80_000
    assert 250_000 < parameters(large) <= 310_000


def test_training_validation_and_refinement(make_trainer, labels_folder, tmp_path, capsys):
    trained = make_trainer(AESegTrainer, block={"num_epochs": 1})
    trained.run_training()
    trained.perform_actual_validation()
    report = json.loads((Path(trained.output_folder) / "validation" / "refinement.json").read_text())
    assert len(report["cases"]) == 2  # of ten, five folds
    assert 0.5 < report["mean_dice"]["before"] < 1

    output = tmp_path / "refined"
    words = ["-d", DATASET, "-c", "3d_fullres", "-f", "0", "-i", str(labels_folder), "-o", str(output)]
    assert main(["refine", *words, "-device", "cpu"]) == 0
    assert "3 of 3 done" in capsys.readouterr().out
    for file in labels_folder.glob("*.nii.gz"):
        before, after = SimpleITK.ReadImage(str(file)), SimpleITK.ReadImage(str(output / file.name))
        assert after.GetSize() == before.GetSize()
        np.testing.assert_allclose(after.GetSpacing(), before.GetSpacing(), rtol=1e-5)
        np.testing.assert_allclose(after.GetOrigin(), before.GetOrigin(), atol=1e-4)


def test_a_network_that_changes_nothing_gives_every_label_map_back(untrained, labels_folder, tmp_path):
    class Same(torch.nn.Module):
        def forward(self, maps):
            return 10 * maps

    same = Refiner(dataclasses.replace(untrained.bundle, network=Same()), "cpu")

    outcome = refine_folder(labels_folder, tmp_path / "same", PerWorker(lambda: same))

    assert outcome.complete, outcome.text
    for file in labels_folder.glob("*.nii.gz"):
        before, after = (
            SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(f))) for f in (file, tmp_path / "same" / file.name)
        )
        # Resampled to the plans' spacing and back: surfaces may move by a voxel, the volume stays.
        assert (before != after).mean() < 0.02


def test_an_unknown_label_is_named_and_the_others_are_done(untrained, labels_folder, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    good, *_ = sorted(labels_folder.glob("*.nii.gz"))
    image = SimpleITK.ReadImage(str(good))
    SimpleITK.WriteImage(image, str(source / good.name))
    image[0, 0, 0] = 9
    SimpleITK.WriteImage(image, str(source / "bad.nii.gz"))

    outcome = refine_folder(source, tmp_path / "out", PerWorker(lambda: untrained))

    assert not outcome.complete
    assert "1 of 2 done" in outcome.text
    assert "bad.nii.gz holds the label 9" in outcome.text
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == [good.name]


def test_what_cannot_be_refined_with_is_refused(workspace, tmp_path):
    with pytest.raises(FileNotFoundError, match="train it with nnUNetv2_train 77 3d_fullres 0 -tr AESegTrainer"):
        load_refiner(SecondStageOptions(DATASET, "3d_fullres"))
    with pytest.raises(ValueError, match="The network of ACNNTrainer takes images"):
        load_refiner(SecondStageOptions(DATASET, "3d_fullres", trainer=ACNNTrainer.__name__))
    with pytest.raises(NotImplementedError, match="acnn-nnunet refine"):
        AESegTrainer.build_network_architecture(None, None, 1, 3)


def test_an_empty_folder_and_the_same_folder_are_refused(untrained, labels_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no label map"):
        refine_folder(tmp_path / "nothing", tmp_path / "out", PerWorker(lambda: untrained))
    with pytest.raises(ValueError, match="choose another one with -o"):
        refine_folder(labels_folder, labels_folder, PerWorker(lambda: untrained))


def test_one_process_of_many_validates(make_trainer):
    trainer = make_trainer(AESegTrainer)
    trainer.initialize()
    trainer.local_rank = 1
    trainer.perform_actual_validation()
    assert not (Path(trainer.output_folder) / "validation" / "refinement.json").exists()
