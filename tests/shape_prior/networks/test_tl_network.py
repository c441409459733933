"""The T-L network: Table IV, and the three networks around one code."""

import torch
from layer_tables import PAPER, leaves, rows
from torch import nn

from acnn_nnunet.shape_prior.grids.views import RoiGrid
from acnn_nnunet.shape_prior.networks.architecture import plan_autoencoder, plan_predictor
from acnn_nnunet.shape_prior.networks.autoencoder import Decoder, Encoder
from acnn_nnunet.shape_prior.networks.tl_network import Predictor, TLNetwork

TABLE_IV = [
    ((3, 3, 3), (1, 1, 1), 32, True),
    ((3, 3, 3), (1, 1, 1), 32, True),
    ((3, 3, 3), (2, 2, 2), 64, True),
    ((3, 3, 3), (1, 1, 1), 64, True),
    ((3, 3, 3), (2, 2, 2), 128, True),
    ((3, 3, 3), (1, 1, 1), 128, True),
    ((3, 3, 3), (2, 2, 2), 256, True),
    ((3, 3, 3), (1, 1, 1), 1, False),
]


def test_predictor_is_table_iv():
    plan = plan_predictor(PAPER)
    predictor = Predictor(plan, in_channels=1, code_size=64)
    assert rows(leaves(predictor)) == TABLE_IV
    assert plan.sizes[-1] == (15, 15, 8)
    assert predictor.to_code.out_features == 64
    assert sum(isinstance(leaf, nn.ReLU) for leaf in leaves(predictor)) == len(TABLE_IV)
    assert leaves(predictor)[-1] is predictor.to_code


def test_paper_networks_return_the_printed_sizes():
    plan = plan_autoencoder(PAPER, num_classes=3)
    with torch.no_grad():
        code = Encoder(plan, in_channels=3, code_size=64).eval()(torch.rand(1, 3, *PAPER))
        assert code.shape == (1, 64)
        assert code.min() < 0 < code.max()
        assert Decoder(plan, out_channels=3, code_size=64).eval()(code).shape == (1, 3, *PAPER)
        assert Predictor(plan_predictor(PAPER), in_channels=1, code_size=64).eval()(
            torch.randn(1, 1, *PAPER)
        ).shape == (1, 64)


def small_network(**changes) -> TLNetwork:
    torch.manual_seed(0)
    return TLNetwork((8, 8, 8), num_classes=2, image_channels=1, code_size=4, **changes)


def test_it_decodes_what_the_predictor_reads_off_an_image_and_reconstructs_label_maps():
    network, image = small_network().eval(), torch.randn(2, 1, 8, 8, 8)
    maps = torch.rand(2, 2, 8, 8, 8)
    assert torch.equal(network(image), network.decoder(network.predictor(image)))
    assert torch.equal(network.reconstruct(maps), network.decoder(network.encoder(maps)))


def test_a_box_is_decoded_into_the_middle_of_the_patch():
    roi = RoiGrid((8, 8, 8), spacing_mm=(1.0,) * 3, patch_spacing_mm=(1.0,) * 3)
    logits = small_network(roi=roi).eval()(torch.randn(1, 1, 12, 12, 12))
    assert logits.shape == (1, 2, 12, 12, 12)
    beyond = torch.ones(12, 12, 12, dtype=torch.bool)
    beyond[2:10, 2:10, 2:10] = False
    assert (logits[..., beyond] == 0).all()
    assert (logits[..., ~beyond] != 0).any()


def test_on_a_cpu_three_axes_get_the_fast_layout_and_the_same_weights():
    network = small_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert network.move_to("cpu") is network
    weight = network.encoder.scales[0][1][0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
