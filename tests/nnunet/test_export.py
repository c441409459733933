"""A model folder for plain nnU-Net: what is kept, what is left out, and what is refused."""

import json

import pytest
import torch
from tiny_model import write_tiny_model

from acnn_nnunet.nnunet.export import export_stock


@pytest.fixture
def model_folder(tmp_path):
    folder = tmp_path / "ACNNTrainer__nnUNetPlans__3d_fullres"
    write_tiny_model(folder)
    edit(folder, optimizer_state={"a": 1}, acnn_prior="secret", current_epoch=3)
    return folder


def edit(folder, **entries):
    path = folder / "fold_0" / "checkpoint_final.pth"
    torch.save({**torch.load(path, weights_only=False), **entries}, path)


def test_weights_stay_and_the_trainer_is_the_stock_one(model_folder, tmp_path):
    text = export_stock(model_folder, tmp_path / "out")

    assert text.startswith(
        f"Wrote {tmp_path / 'out'}. Plain nnU-Net predicts with it: nnUNetv2_predict_from_modelfolder"
    )
    assert text.endswith("-f 0")
    before = torch.load(model_folder / "fold_0" / "checkpoint_final.pth", weights_only=False)
    after = torch.load(tmp_path / "out" / "fold_0" / "checkpoint_final.pth", weights_only=False)
    assert (after["trainer_name"], after["current_epoch"]) == ("nnUNetTrainer", 3)
    assert not {"optimizer_state", "acnn_prior"} & after.keys()
    for name, weights in before["network_weights"].items():
        torch.testing.assert_close(after["network_weights"][name], weights, rtol=0, atol=0)
    assert json.loads((tmp_path / "out" / "plans.json").read_text())["plans_name"] == "nnUNetPlans"
    assert sorted(path.name for path in tmp_path.iterdir()) == [model_folder.name, "out"]


def test_a_model_with_the_prior_at_inference_says_how(model_folder, tmp_path):
    plans = json.loads((model_folder / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["acnn"] = {"prior_at_inference": True}
    (model_folder / "plans.json").write_text(json.dumps(plans))

    text = export_stock(model_folder, tmp_path / "out")

    assert "-f 0 --save_probabilities" in text
    assert text.endswith("acnn-nnunet refine OUT --prior PRIOR -o REFINED")


def test_a_folder_that_is_no_finished_model_is_refused(model_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no fold_\*/checkpoint_final\.pth: name the folder of a finished"):
        export_stock(tmp_path, tmp_path / "out")
    (model_folder / "plans.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no plans\.json: it is no nnU-Net model folder"):
        export_stock(model_folder, tmp_path / "out")


def test_another_trainers_model_is_refused_and_nothing_is_left(model_folder, tmp_path):
    edit(model_folder, trainer_name="SRTrainer")
    with pytest.raises(ValueError, match="was trained by SRTrainer, only ACNNTrainer's network is a stock"):
        export_stock(model_folder, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [model_folder.name]


def test_an_output_that_is_not_empty_is_refused(model_folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(ValueError, match="exists and is not an empty folder: choose another one with -o"):
        export_stock(model_folder, tmp_path / "out")


def test_a_truncated_checkpoint_is_one_sentence(model_folder, tmp_path):
    path = model_folder / "fold_0" / "checkpoint_final.pth"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"checkpoint_final\.pth is truncated or no checkpoint .*: end its training"):
        export_stock(model_folder, tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == [model_folder.name]
