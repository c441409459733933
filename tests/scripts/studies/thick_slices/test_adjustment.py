"""A model with adjusted logits is the trained one but for its last bias, which is higher by the log of each share."""

import json

import torch

from scripts.studies.thick_slices.adjustment import last_bias, write_adjusted_model


def test_the_last_bias_is_the_full_resolutions():
    deep = [f"decoder.seg_layers.{index}.{what}" for index in (0, 10, 9) for what in ("weight", "bias")]
    assert last_bias(["decoder.stages.0.bias", *deep]) == "decoder.seg_layers.10.bias"
    assert last_bias(["encoder.0.bias", "head.weight", "head.bias"]) == "head.bias"


def test_a_copy_differs_in_its_last_bias_alone(tmp_path):
    model = tmp_path / "Trainer__nnUNetPlans__3d_study_seed0"
    (model / "fold_0").mkdir(parents=True)
    (model / "plans.json").write_text(json.dumps({"configurations": {"3d_study_seed0": {"batch_size": 2}}}))
    weights = {"head.weight": torch.ones(2, 1), "head.bias": torch.tensor([0.5, -1.0])}
    torch.save({"network_weights": weights, "trainer_name": "T"}, model / "fold_0" / "checkpoint_final.pth")

    assert write_adjusted_model(model, 0, [-1.0, -3.0]) == "3d_study_seed0_adjusted"
    assert write_adjusted_model(model, 0, [-1.0, -3.0]) == "3d_study_seed0_adjusted"  # not shifted twice

    copy = tmp_path / "Trainer__nnUNetPlans__3d_study_seed0_adjusted"
    written = torch.load(copy / "fold_0" / "checkpoint_final.pth", weights_only=False)
    assert written["trainer_name"] == "T"
    assert written["network_weights"]["head.bias"].tolist() == [-0.5, -4.0]
    assert torch.equal(written["network_weights"]["head.weight"], weights["head.weight"])
    kept = torch.load(model / "fold_0" / "checkpoint_final.pth", weights_only=False)
    assert kept["network_weights"]["head.bias"].tolist() == [0.5, -1.0]
    configurations = json.loads((copy / "plans.json").read_text())["configurations"]
    assert configurations["3d_study_seed0_adjusted"] == {"inherits_from": "3d_study_seed0"}
