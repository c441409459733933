import pytest
import torch

from acnn_nnunet.refinement.segmentation_autoencoder import (
    LARGE_PARAMETERS,
    SMALL_PARAMETERS,
    plan_segmentation_autoencoder,
)


@pytest.mark.parametrize("most", [SMALL_PARAMETERS, LARGE_PARAMETERS])
@pytest.mark.parametrize("patch", [(12, 120, 120), (56, 40)])
def test_it_is_as_large_as_it_may_be(most, patch):
    network = plan_segmentation_autoencoder(3, patch_size=patch, num_parameters=most)

    assert 0.85 * most < sum(p.numel() for p in network.parameters()) <= most


@pytest.mark.parametrize("size", [(5, 17, 30), (1, 8, 9), (4, 16, 16)])
def test_it_gives_maps_of_the_size_that_it_gets(size):
    network = plan_segmentation_autoencoder(2, patch_size=(8, 32, 32), num_parameters=2000)

    assert network(torch.rand(2, 2, *size)).shape == (2, 2, *size)


def test_short_axes_are_not_halved_to_nothing():
    network = plan_segmentation_autoencoder(2, patch_size=(4, 32, 32), num_parameters=2000)

    assert [tuple(scale[0][0].stride) for scale in network.down] == [(1, 2, 2)] * 3


def test_the_output_comes_by_way_of_coarse_maps_alone():
    network = plan_segmentation_autoencoder(2, patch_size=(16, 16), num_parameters=2000)

    assert len(network.down) == len(network.up) == 3
    assert sum(isinstance(module, torch.nn.ConvTranspose2d) for module in network.modules()) == 3
    deepest = []
    network.down[-1].register_forward_hook(lambda module, inputs, output: deepest.append(output.shape[2:]))
    network(torch.rand(2, 2, 16, 16))
    assert deepest == [(4, 4)]  # 16 → 8 → 4, and 4 is not halved
