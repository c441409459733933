"""`scripts/studies/defaults/tiles.py`: what the host's sliding window gives, image by image."""

import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from scripts.studies.defaults.tiles import predict_logits


def predictor(patch: tuple[int, ...]) -> nnUNetPredictor:
    dataset = {"labels": {"background": 0, "a": 1, "b": 2}, "channel_names": {"0": "MR"}}
    plans = PlansManager(
        {"configurations": {"small": {"patch_size": list(patch), "architecture": {}}}, "label_manager": "LabelManager"}
    )
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 3, 3, padding=1), torch.nn.InstanceNorm3d(3)).eval()
    made = nnUNetPredictor(use_mirroring=False, perform_everything_on_device=False, device=torch.device("cpu"))
    made.manual_initialization(
        network, plans, plans.get_configuration("small"), [network.state_dict()], dataset, "T", None
    )
    made.allow_tqdm = False
    return made


@pytest.mark.parametrize("batch_size", [1, 4])
def test_logits_are_those_of_the_hosts_sliding_window(batch_size):
    host = predictor((4, 6, 6))
    host.use_gaussian = False
    # One smaller than a tile along an axis, one of a tile, one of several tiles.
    images = [torch.randn(1, *size) for size in ((3, 6, 6), (4, 6, 6), (9, 10, 7))]

    found = predict_logits(host, images, batch_size=batch_size)

    for image, logits in zip(images, found, strict=True):
        expected = host.predict_logits_from_preprocessed_data(image).float()
        assert logits.shape == expected.shape
        # The host sums in half precision.
        torch.testing.assert_close(logits, expected, atol=5e-3, rtol=5e-3)


def test_tiles_are_weighted_as_the_host_does():
    host, image = predictor((4, 6, 6)), torch.randn(1, 6, 6, 6)

    (logits,) = predict_logits(host, [image])

    # Two tiles, of slices 0 to 3 and 2 to 5. Near their middles the host's half precision has digits enough.
    expected = host.predict_logits_from_preprocessed_data(image).float()
    torch.testing.assert_close(logits[:, 1:5, 2:5, 2:5], expected[:, 1:5, 2:5, 2:5], atol=2e-2, rtol=2e-2)
