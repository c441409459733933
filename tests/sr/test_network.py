"""The LR-in/HR-out network: Fig. 2 layer by layer, its phase, and what the host does with it."""

import json

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import distributed, nn

from acnn_nnunet.sr.network import FIGURE_2, SubPixelUNet
from acnn_nnunet.sr.upsampling import interpolate_slices

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
SMALL = {
    "factor": 3,
    "axis": 0,
    "features_per_stage": (4, 6, 8),
    "kernel_sizes": ((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    "strides": ((1, 1, 1), (1, 2, 2), (2, 2, 2)),
}
# Fig. 2 from input to output: kernel (Z, Y, X), stride, channels in and out (a skip doubles what the decoder sees).
FIGURE_2_LAYERS = [
    ((3, 3, 3), (1, 1, 1), 1, 24),
    ((3, 3, 3), (1, 1, 1), 24, 24),
    ((3, 3, 3), (1, 2, 2), 24, 48),
    ((3, 3, 3), (1, 1, 1), 48, 48),
    ((3, 3, 3), (1, 2, 2), 48, 96),
    ((3, 3, 3), (1, 1, 1), 96, 96),
    ((1, 3, 3), (1, 2, 2), 96, 176),
    ((1, 3, 3), (1, 1, 1), 176, 176),
    ((1, 4, 4), (1, 2, 2), 176, 96),
    ((1, 3, 3), (1, 1, 1), 192, 96),
    ((1, 4, 4), (1, 2, 2), 96, 48),
    ((3, 3, 3), (1, 1, 1), 96, 48),
    ((1, 4, 4), (1, 2, 2), 48, 24),
    ((3, 3, 3), (1, 1, 1), 48, 24),
    ((10, 1, 1), (5, 1, 1), 24, 24),
    ((3, 3, 3), (1, 1, 1), 24, 3),
]


def layers_in_order(network, stack):
    """The convolutions as a forward pass meets them."""
    met = []
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            module.register_forward_hook(lambda layer, _, output: met.append((layer, output.numel())))
    network(stack)
    return met


def test_figure_2():
    met = layers_in_order(SubPixelUNet(1, 3, **FIGURE_2), torch.rand(1, 1, 2, 16, 16))
    found = [(layer.kernel_size, layer.stride, layer.in_channels, layer.out_channels) for layer, _ in met]
    assert found == FIGURE_2_LAYERS


def test_figure_2_has_1_6_million_parameters():
    network = SubPixelUNet(1, 3, **FIGURE_2)
    weights = sum(k[0] * k[1] * k[2] * before * after for k, _, before, after in FIGURE_2_LAYERS)
    # Twelve normalised layers (a scale and an offset a channel); a bias at the transposed ones and at the last.
    normalised = 2 * (24 + 48 + 96 + 176) + 96 + 48 + 24 + 24
    biases = 96 + 48 + 24 + 24 + 3
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == weights + 2 * normalised + biases == 1_607_171
    assert abs(count - 1.60e6) < 0.01 * 1.60e6


@pytest.mark.parametrize("factor", range(2, 9))
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_with_identity_features_a_ramp_comes_out_in_place(factor, axis):
    arguments = {**FIGURE_2, "factor": factor, "axis": axis, "features_per_stage": (1, 1, 1, 1)}
    network = SubPixelUNet(1, 1, **arguments).double()
    network._lr_features = lambda stack: stack
    network.to_hr = nn.Identity()
    nn.init.dirac_(network.head.weight)
    size, along = [8, 8, 8], [1, 1, 1]
    along[axis] = 8
    centres = factor * torch.arange(8, dtype=torch.float64) + (factor - 1) / 2
    prediction = network(centres.view(along).expand(size)[None, None]).movedim(2 + axis, -1)
    assert prediction.shape == (1, 1, 8, 8, 8 * factor)
    inside = torch.arange(8 * factor)[factor // 2 : -(factor // 2)]
    expected = inside.double().expand(1, 1, 8, 8, -1)
    torch.testing.assert_close(prediction[..., inside], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1])
def test_two_axes_and_another_through_plane_axis(axis):
    network = SubPixelUNet(
        2,
        4,
        factor=4,
        axis=axis,
        features_per_stage=(3, 5),
        kernel_sizes=((3, 3), (3, 3)),
        strides=((1, 1), (1, 2)),
    )
    expected = (1, 4, 24, 8) if axis == 0 else (1, 4, 6, 32)
    assert network(torch.rand(1, 2, 6, 8)).shape == expected


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_the_residual_starts_from_linear_interpolation(norm):
    network = SubPixelUNet(2, 2, **SMALL, norm=norm, residual=True)
    stack = torch.rand(2, 2, 4, 8, 8)
    torch.testing.assert_close(network(stack), interpolate_slices(stack, 3))


@pytest.mark.parametrize("residual", [False, True])
def test_every_parameter_learns(residual):
    network = SubPixelUNet(1, 1, **SMALL, residual=residual)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):  # the residual's last layer starts at zero and lets nothing through in the first step
        optimiser.zero_grad()
        network(torch.rand(2, 1, 8, 16, 16)).square().mean().backward()
        optimiser.step()
    without = [name for name, parameter in network.named_parameters() if not parameter.grad.abs().max() > 0]
    assert without == []


def test_memory_is_counted_as_the_host_counts_it():
    network = SubPixelUNet(1, 3, **SMALL)
    met = layers_in_order(network, torch.rand(1, 1, 4, 8, 8))
    assert network.compute_conv_feature_map_size((4, 8, 8)) == sum(values for _, values in met)


def test_the_host_builds_it_from_plans():
    plans = json.loads(json.dumps({"network_class_name": "acnn_nnunet.sr.network.SubPixelUNet", "arch_kwargs": SMALL}))
    network = get_network_from_plans(plans["network_class_name"], plans["arch_kwargs"], [], 1, 3, allow_init=True)
    assert type(network) is SubPixelUNet
    taps = network.through_plane_upsampling.transposed.weight[0, 0].flatten()
    torch.testing.assert_close(taps, torch.tensor([0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]))
    assert network(torch.rand(1, 1, 4, 8, 8)).shape == (1, 3, 12, 8, 8)


def test_from_12_slices_to_60():
    with torch.device("meta"):  # shapes only
        assert SubPixelUNet(1, 3, **FIGURE_2)(torch.empty(1, 1, 12, 120, 120)).shape == (1, 3, 60, 120, 120)


def test_autocast():
    network = SubPixelUNet(1, 2, **SMALL).eval()
    stack = torch.rand(1, 1, 4, 8, 8)
    expected = network(stack)
    with torch.autocast("cpu", torch.bfloat16):
        prediction = network(stack)
    assert prediction.dtype == torch.bfloat16
    # bfloat16 has 8 bits: 0.4 % a layer.
    assert (prediction - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("residual", [False, True])
def test_compile_finds_one_graph_forwards_and_backwards(residual):
    network = SubPixelUNet(1, 1, **SMALL, residual=residual)
    stack = torch.rand(1, 1, 4, 8, 8)
    prediction = network(stack)
    prediction.square().mean().backward()
    expected = network.head.weight.grad.clone()
    network.zero_grad()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)(stack)
    compiled.square().mean().backward()
    torch.testing.assert_close(compiled, prediction)
    torch.testing.assert_close(network.head.weight.grad, expected)


def test_ddp(free_port):
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{free_port}", rank=0, world_size=1)
    try:
        network = nn.parallel.DistributedDataParallel(SubPixelUNet(1, 2, **SMALL))
        for _ in range(2):  # the second step fails where a parameter took no part in the first
            network(torch.rand(1, 1, 4, 8, 8)).sum().backward()
    finally:
        distributed.destroy_process_group()
    assert list(network.buffers()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deep_supervision": True}, "nnU-Net's own trainers do not make any: use -tr SubPixelSegTrainer"),
        ({"deep_supervision": False}, "nnU-Net's own trainers do not make any: use -tr SubPixelSegTrainer"),
        ({"residual": True}, r"as many channels out \(3\) as in \(1\)"),
        ({"factor": 1}, "factor is 2 or more"),
        ({"axis": 3}, "axis below 3"),
        ({"norm": "group"}, "no normalisation 'group'; there are instance, batch, none"),
        ({"features_per_stage": (4, 6)}, "2 features, 3 kernels and 3 strides"),
        ({"kernel_sizes": ((1, 3, 3), (3, 3, 3), (2, 3, 3))}, "Kernels have to be odd"),
        ({"strides": ((1, 1, 1), (1, 2, 2), (3, 2, 2))}, "1 or 2 in the others"),
        ({"strides": ((1, 2, 2), (1, 2, 2), (2, 2, 2))}, "1 in the first stage"),
        ({"strides": ((1, 1, 1), (2, 2), (2, 2))}, "2 or 3 numbers each"),
    ],
)
def test_arguments_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        SubPixelUNet(1, 3, **{**SMALL, **changes})


def test_a_stack_of_the_wrong_size():
    with pytest.raises(ValueError, match=r"size \(3, 8, 8\) has to be padded to a multiple of \(2, 4, 4\)"):
        SubPixelUNet(1, 3, **SMALL)(torch.rand(1, 1, 3, 8, 8))


def test_another_factor_and_an_end():
    network = SubPixelUNet(1, 1, **{**FIGURE_2, "features_per_stage": (2, 2, 2, 2)}, residual=True).eval()
    stack = torch.rand(1, 1, 3, 8, 8)
    assert network(stack).shape == (1, 1, 15, 8, 8)
    network.output.choose(4, slices=10)
    # The head starts at 0: the interpolated stack alone, cut where the HR patch ends.
    torch.testing.assert_close(network(stack), interpolate_slices(stack, 4)[:, :, :10])
    network.output.choose(5)
    assert network(stack).shape == (1, 1, 15, 8, 8)
