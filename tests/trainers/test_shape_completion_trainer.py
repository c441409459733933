"""ShapeCompletionTrainer in the host's hands; tests/refinement/test_completion.py has its network."""

import shutil

import torch

from acnn_nnunet.cli import main
from acnn_nnunet.refinement.command import RefineOptions, load_anatomy_refiner
from acnn_nnunet.refinement.predictions import Prediction
from acnn_nnunet.refinement.recipe import Mix, Step
from acnn_nnunet.trainers import ShapeCompletionTrainer


def test_it_learns_to_mend_structured_defects_from_labels_alone(make_trainer):
    trainer = make_trainer(ShapeCompletionTrainer, block={"clean_share": 0.0, "prior_num_epochs": 7})
    trainer.on_train_start()
    batch = next(trainer.dataloader_train)
    seen = []
    trainer.network.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))

    result = trainer.train_step({**batch, "data": torch.full_like(batch["data"], torch.nan)})

    given, output = seen[0]
    assert given.shape == output.shape
    assert given.shape[1] == trainer.labels.num_channels  # label maps, no image
    assert torch.isfinite(torch.as_tensor(result["loss"]))
    assert trainer.num_epochs == 7


def test_it_trains_to_its_end_and_refine_completes_with_it(make_trainer, make_prior, workspace, tmp_path, capsys):
    prior = make_prior()
    folder, output = tmp_path / "predictions", tmp_path / "refined"
    folder.mkdir()
    labels = sorted((workspace / "nnUNet_raw").glob("*/labelsTr/*.nii.gz"))
    shutil.copy(labels[0], folder)
    words = ["refine", str(folder), "-o", str(output), "-d", "77", "-c", "3d_fullres", "-f", "0", "--method"]
    assert main([*words, "complete"]) == 1
    assert "-tr ShapeCompletionTrainer" in capsys.readouterr().err  # not trained yet: how to

    trained = make_trainer(ShapeCompletionTrainer, block={"prior_num_epochs": 1})
    trained.run_training()
    trained.perform_actual_validation()

    for method in ("complete", "complete+project"):
        assert main([*words, method]) == 0
        assert (output / labels[0].name).is_file()
        refiner = load_anatomy_refiner(RefineOptions(method, prior))
        assert method in refiner.methods
        label_map = refiner.coder.reader.read(labels[0])
        prediction = Prediction(label_map.volume, label_map.volume_spacing_mm)
        opinion = refiner.propose(prediction, (method,))
        mended = refiner.written_back(prediction, opinion, Step(method, Mix(1.0, thick=True)))
        assert torch.isfinite(opinion.proposals[method].change_of_mended).all()
        assert (mended != label_map.volume).any()  # after an epoch, it has learnt next to nothing
