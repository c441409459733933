"""The losses on every device: values and gradients of float32, and under autocast with a gradient scaler."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from acnn_nnunet.nnunet.workarounds import stand_in
from acnn_nnunet.shape_prior.grids.views import PatchGrid, RoiGrid
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.loss.prior_loss import CrossEntropyPerClass, FullPrecisionLoss, ShapePriorLoss
from acnn_nnunet.shape_prior.loss.prior_term import make_prior_term
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork

SIZE = (16, 16, 16)
LABELS = LabelSpace(3)
CPU = torch.device("cpu")


class HostLabels:
    """What the host's loss asks of its label manager: three classes without regions and ignore label."""

    has_regions, ignore_label = False, None


class HostConfiguration:
    batch_dice = False


def segmentation_loss(name: str) -> nn.Module:
    return (
        CrossEntropyPerClass(LABELS)
        if name == "ce_per_class"
        else stand_in(HostConfiguration(), HostLabels())._build_loss()
    )


def prior_network(architecture: str) -> TLNetwork:
    torch.manual_seed(5)
    network = TLNetwork(
        SIZE, num_classes=3, image_channels=1, code_size=8, architecture=architecture, spacing_mm=(1.0, 1.0, 1.0)
    )
    with torch.no_grad():
        for _ in range(10):  # batch statistics as after some training
            network.reconstruct(nn.functional.one_hot(torch.randint(3, (4, *SIZE)), 3).movedim(-1, 1).float())
    return network.eval()


def prior_loss(name: str, architecture: str, grid: str, device: torch.device) -> nn.Module:
    term = make_prior_term(
        prior_network(architecture).to(device),
        distance="decoded" if architecture == "hybrid" else "l2",
        grid=PatchGrid(SIZE) if grid == "patch" else RoiGrid(SIZE, spacing_mm=(1.0,) * 3, patch_spacing_mm=(1.0,) * 3),
        labels=LABELS,
        outside_weight=0.5 if grid == "roi" else 0.0,
    )
    return ShapePriorLoss(segmentation_loss(name), term, weight=0.3, balance_gradients=True)


def small_network(device: torch.device) -> nn.Module:
    torch.manual_seed(11)
    return nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.LeakyReLU(), nn.Conv3d(8, 3, 1)).to(device)


def batch(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    target = torch.zeros(2, 1, *SIZE, dtype=torch.int16)
    target[:, :, 4:11, 5:12, 4:12] = 1
    target[:, :, 6:9, 7:10, 6:10] = 2
    return (target + torch.randn(2, 1, *SIZE, generator=generator)).to(device), target.to(device)


def loss_and_gradients(loss: nn.Module, device: torch.device, *, dtype: torch.dtype | None = None, scale: bool = False):
    """Return the loss and the gradients of a small network, with autocast to a precision and the gradient scaler."""
    network, (image, target) = small_network(device), batch(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler(device.type, init_scale=2.0**16, enabled=scale)
    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        value = loss(network(image), target)
    scaler.scale(value).backward()
    scaler.unscale_(optimizer)
    gradients = torch.cat([parameter.grad.flatten().cpu() for parameter in network.parameters()])
    scaler.step(optimizer)
    scaler.update()
    if scale:
        assert scaler.get_scale() >= 2.0**16, "the gradients overflowed"
    assert value.dtype == torch.float32
    return value.detach().cpu(), gradients


CASES = [("dice_ce", "hybrid", "patch"), ("ce_per_class", "cnn", "roi")]


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_float32_is_the_cpus(case, device, monkeypatch):
    # A GPU rounds the factors of convolutions to ten bits unless told not to.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    expected, expected_gradients = loss_and_gradients(prior_loss(*case, CPU), CPU)
    value, gradients = loss_and_gradients(prior_loss(*case, device), device)

    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
    assert (gradients - expected_gradients).norm() < 1e-3 * expected_gradients.norm()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_autocast_with_the_gradient_scaler_is_close_to_float32(case, dtype, device):
    """Half of the network in reduced precision: bfloat16 has 8 significant bits, so a hundredth is what it can give."""
    expected, expected_gradients = loss_and_gradients(prior_loss(*case, CPU), CPU)
    value, gradients = loss_and_gradients(prior_loss(*case, device), device, dtype=dtype, scale=True)

    assert value.item() == pytest.approx(expected.item(), rel=0.02)
    assert torch.isfinite(gradients).all()
    assert (gradients - expected_gradients).norm() < 0.05 * expected_gradients.norm()


def test_a_prediction_far_from_anatomy_does_not_overflow_in_float16(device):
    """Squared sums of thousands of voxels exceed float16's 65504; the losses are in float32 whatever the network is."""
    _, target = batch(device)
    logits = (2000 * torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))).to(device, torch.float16)
    for case in CASES:
        output = logits.clone().requires_grad_()
        with torch.autocast(device.type, dtype=torch.float16):
            value = prior_loss(*case, device)(output, target)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(output.grad).all()
    with torch.autocast(device.type, dtype=torch.float16):
        assert torch.isfinite(FullPrecisionLoss(segmentation_loss("ce_per_class"))(logits, target))


class ReadBack(TorchDispatchMode):
    """Notes every operation that brings a value from a device to Python, for which a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if any(word in str(function) for word in ("local_scalar_dense", "nonzero", "masked_select", "unique")):
            self.found.append(str(function))
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_a_step_reads_nothing_back_from_the_device(case):
    loss, (image, target) = prior_loss(*case, CPU), batch(CPU)
    output = small_network(CPU)(image)
    with ReadBack() as step:
        value = loss(output, target)
        value.backward()
    assert step.found == []
    with ReadBack() as reading:
        value.item()
    assert reading.found  # the mode notices what is read
