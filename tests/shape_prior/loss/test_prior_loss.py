"""The prior term: its gradient exists, is the analytic one, moves nothing but the network, and survives DDP."""

import copy
import math

import pytest
import torch
import torch.multiprocessing as mp
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from torch import distributed as dist
from torch import nn

from acnn_nnunet.shape_prior.grids.views import PatchGrid, View
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.loss.distances import SquaredDistance, WhitenedDistance
from acnn_nnunet.shape_prior.loss.prior_loss import (
    CrossEntropyPerClass,
    FullPrecisionLoss,
    ShapePriorLoss,
    choose_segmentation_loss,
)
from acnn_nnunet.shape_prior.loss.prior_term import PriorTerm
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork

SIZE = (12, 12, 12)


def cross_entropy(output, target):
    return nn.functional.cross_entropy(output, target[:, 0].long())


class DeepSupervision(nn.Module):
    """Weights 1, 1/2 and 0 for three resolutions; the zero-weight head stays unused, as in the host."""

    def forward(self, outputs, targets):
        return cross_entropy(outputs[0], targets[0]) + 0.5 * cross_entropy(outputs[1], targets[1])


class SegmentationLoss(nn.Module):
    def forward(self, output, target):
        return cross_entropy(output, target)


def encoder() -> nn.Module:
    torch.manual_seed(5)
    network = TLNetwork(SIZE, num_classes=3, image_channels=1, code_size=8)
    network.encoder(torch.rand(4, 3, *SIZE))  # batch statistics other than the initial ones
    return network.encoder


def prior_term(*, distance=None, labels=None, grid=None) -> PriorTerm:
    return PriorTerm(
        encoder(),
        distance=distance or SquaredDistance(),
        grid=grid or PatchGrid(SIZE),
        labels=labels or LabelSpace(3),
    )


def prior_loss(*, weight=0.5, balance=False, segmentation=None, **kwargs) -> ShapePriorLoss:
    return ShapePriorLoss(
        segmentation or SegmentationLoss(), prior_term(**kwargs), weight=weight, balance_gradients=balance
    )


@pytest.fixture
def batch():
    return torch.randn(3, 3, *SIZE, requires_grad=True), torch.randint(3, (3, 1, *SIZE)).short()


def reference_distance(logits, target, labels=None):
    """The paper's Eq. 1 written down directly."""
    f = encoder().eval()
    code = f(torch.softmax(logits.float(), 1))
    truth = f(nn.functional.one_hot(target[:, 0].long(), 3).movedim(-1, 1).float())
    return (code - truth).square().sum(1).mean()


def test_the_loss_and_its_gradient_are_those_of_the_equation(batch):
    logits, target = batch
    loss = prior_loss(weight=0.5)(logits, target)
    expected = cross_entropy(logits, target) + 0.5 * reference_distance(logits, target)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, logits)
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    assert torch.allclose(gradient, expected_gradient, atol=1e-8, rtol=1e-4)


def test_the_prior_alone_has_a_gradient_at_the_logits(batch):
    logits, target = batch
    distance = prior_term()(logits, target).terms["distance"]
    (gradient,) = torch.autograd.grad(distance, logits)
    assert gradient.norm() > 0
    assert gradient.flatten(1).norm(dim=1).min() > 0


def test_without_gradients_the_value_is_the_same(batch):
    logits, target = batch
    loss = prior_loss()
    with torch.no_grad():
        assert loss(logits, target).item() == pytest.approx(
            (cross_entropy(logits, target) + 0.5 * reference_distance(logits, target)).item(), rel=1e-5
        )
    assert loss.take_statistics() == {}


def test_the_loss_is_smallest_at_the_truth(batch):
    _, target = batch
    perfect = 50 * LabelSpace(3).target_maps(target)
    distance = prior_term()(perfect, target).terms["distance"]
    assert distance.item() == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("ratio", [0.1, 1.0])
def test_balanced_gradients_have_the_wanted_ratio(batch, ratio):
    logits, target = batch
    loss = prior_loss(weight=ratio, balance=True)
    (gradient,) = torch.autograd.grad(loss(logits, target), logits)
    (segmentation,) = torch.autograd.grad(cross_entropy(logits, target), logits)
    assert ((gradient - segmentation).norm() / segmentation.norm()).item() == pytest.approx(ratio, rel=1e-3)
    assert loss.take_statistics()["gradient_ratio"] == pytest.approx(ratio, rel=1e-3)


def test_warm_up_scales_the_prior_only(batch):
    logits, target = batch
    loss = prior_loss(weight=0.5)
    loss.warm_up = 0.25
    expected = cross_entropy(logits, target) + 0.125 * reference_distance(logits, target)
    assert loss(logits, target).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_perfect_prediction_has_no_balance_to_keep(batch):
    _, target = batch
    logits = (1e4 * LabelSpace(3).target_maps(target)).requires_grad_()
    loss = prior_loss(weight=0.3, balance=True)(logits, target)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_deep_supervision_adds_the_prior_to_the_full_resolution_only():
    outputs = [torch.randn(2, 3, *(n // 2**i for n in SIZE), requires_grad=True) for i in range(3)]
    targets = [torch.randint(3, (2, 1, *output.shape[2:])) for output in outputs]
    prior_loss(segmentation=DeepSupervision())(outputs, targets).backward()
    half = outputs[1].detach().clone().requires_grad_()
    (0.5 * cross_entropy(half, targets[1])).backward()
    assert torch.allclose(outputs[1].grad, half.grad)
    # The host's loss leaves a weight-zero head without gradient (not with zeros, which weight decay would act on).
    assert outputs[2].grad is None
    full = outputs[0].detach().clone().requires_grad_()
    (cross_entropy(full, targets[0]) + 0.5 * reference_distance(full, targets[0])).backward()
    assert torch.allclose(outputs[0].grad, full.grad, atol=1e-8, rtol=1e-4)


def test_statistics_are_means_over_steps(batch):
    logits, target = batch
    loss = prior_loss(weight=0.5)
    for _ in range(2):
        loss(logits, target)
    statistics = loss.take_statistics()
    assert statistics["segmentation_loss"] == pytest.approx(cross_entropy(logits, target).item(), rel=1e-5)
    assert statistics["prior_loss"] == pytest.approx(0.5 * reference_distance(logits, target).item(), rel=1e-5)
    assert statistics["cut_off_share"] == 1  # random labels reach every face
    assert loss.take_statistics() == {}


def test_samples_that_are_not_valid_do_not_count(batch):
    logits, target = batch

    class FirstSampleOnly(PatchGrid):
        def around(self, foreground):
            valid = torch.arange(len(foreground)) == 0
            return View(valid, ~valid, torch.zeros(len(foreground)))

    values = prior_term(grid=FirstSampleOnly(SIZE))(logits, target)
    distance = values.terms["distance"]
    assert distance.item() == pytest.approx(reference_distance(logits[:1], target[:1]).item(), rel=1e-5)
    assert [each.item() for each in values.shares["cut_off_share"]] == [2, 3]
    (gradient,) = torch.autograd.grad(distance, logits)
    assert gradient[0].norm() > 0
    assert gradient[1:].norm() == 0


def test_validation_weighs_the_prior_as_the_last_batch_did_that_it_could_judge(batch):
    logits, target = batch

    class Switched(PatchGrid):
        valid = True

        def around(self, foreground):
            valid = torch.full((len(foreground),), self.valid)
            return View(valid, ~valid, torch.zeros(len(foreground)))

    grid = Switched(SIZE)
    loss = prior_loss(grid=grid, balance=True)
    loss(logits, target)
    with torch.no_grad():
        expected = loss(logits, target)
    grid.valid = False
    loss(logits, target)
    grid.valid = True
    with torch.no_grad():
        assert loss(logits, target) == expected


def test_ignored_voxels_get_no_prior_gradient(batch):
    logits, target = batch
    target[:, :, :6] = 3
    distance = prior_term(labels=LabelSpace(3, ignore_label=3))(logits, target).terms["distance"]
    (gradient,) = torch.autograd.grad(distance, logits)
    assert gradient[:, :, :6].norm() == 0
    assert gradient[:, :, 6:].norm() > 0


def test_regions():
    labels = LabelSpace(3, regions=True)
    target = torch.rand(2, 3, *SIZE) > 0.5
    logits = torch.randn(2, 3, *SIZE, requires_grad=True)
    distance = prior_term(labels=labels)(logits, target).terms["distance"]
    f = encoder().eval()
    expected = (f(torch.sigmoid(logits)) - f(target.float())).square().sum(1).mean()
    assert distance.item() == pytest.approx(expected.item(), rel=1e-5)
    perfect = prior_term(labels=labels)(100 * (target.float() - 0.5), target).terms["distance"]
    assert perfect.item() == pytest.approx(0, abs=1e-6)


def test_frozen_means_bitwise_frozen(batch):
    """One optimiser step with everything in train mode: the network moves, the prior does not."""
    _, target = batch
    network = nn.Conv3d(1, 3, 3, padding=1)
    loss = prior_loss(distance=WhitenedDistance(torch.eye(8)), balance=True)
    before = copy.deepcopy(loss.prior.state_dict())
    weights = network.weight.detach().clone()
    wrapper = nn.ModuleList([network, loss])
    wrapper.train()
    optimizer = torch.optim.SGD([p for p in wrapper.parameters() if p.requires_grad], 0.1)
    loss(network(torch.randn(3, 1, *SIZE)), target).backward()
    optimizer.step()
    assert not torch.equal(network.weight, weights)
    assert all(torch.equal(value, before[name]) for name, value in loss.prior.state_dict().items())
    assert all(p.grad is None for p in loss.prior.parameters())
    assert not any(p.requires_grad for p in loss.prior.parameters())
    assert not loss.prior.encoder.training


def test_bfloat16_logits_get_a_bfloat16_gradient_of_a_float32_loss(batch):
    logits, target = batch
    half = logits.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = prior_loss()(half, target)
    assert loss.dtype == torch.float32
    loss.backward()
    assert half.grad.dtype == torch.bfloat16
    full = half.detach().float().requires_grad_()
    (cross_entropy(full, target) + 0.5 * reference_distance(full, target)).backward()
    assert torch.allclose(half.grad.float(), full.grad, atol=1e-6, rtol=1e-2)


def test_a_gradient_scaler_reaches_gradients_too_small_for_float16(batch):
    """Scaled by 2^16 before it is rounded to half precision, a gradient of 1e-9 survives."""
    _, target = batch
    # A margin of 12 is wrong by e^-12 = 6e-6, over 3·12³ voxels: 1.2e-9, where float16 ends at 6e-8.
    half = (12 * LabelSpace(3).target_maps(target)).half().requires_grad_()
    (prior_loss(weight=1e-7)(half, target) * 2**16).backward()
    assert half.grad.dtype == torch.float16
    assert half.grad.abs().max() > 0
    assert torch.isfinite(half.grad).all()


def test_full_precision_loss_leaves_the_value_alone(batch):
    logits, target = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = FullPrecisionLoss(SegmentationLoss())(logits.bfloat16(), target)
    assert loss.dtype == torch.float32
    assert loss.item() == cross_entropy(logits.bfloat16().float(), target).item()


def host_loss(*, deep_supervision: bool) -> nn.Module:
    """Return a loss as nnU-Net builds it: Dice and cross-entropy, in a wrapper for three resolutions."""
    compound = DC_and_CE_loss({"batch_dice": False, "smooth": 1e-5, "do_bg": False}, {})
    return DeepSupervisionWrapper(compound, (1.0, 0.5, 0.0)) if deep_supervision else compound


def test_the_host_loss_is_left_as_it_is(batch):
    assert choose_segmentation_loss(host_loss(deep_supervision=False), "dice_ce", LabelSpace(3))(*batch) == host_loss(
        deep_supervision=False
    )(*batch)


def test_cross_entropy_alone_is_the_mean_over_all_voxels(batch):
    loss = choose_segmentation_loss(host_loss(deep_supervision=False), "ce", LabelSpace(3))
    assert loss(*batch).item() == pytest.approx(cross_entropy(*batch).item())


@pytest.mark.parametrize("choice", ["ce", "ce_per_class"])
def test_a_batch_without_an_annotated_voxel_teaches_nothing(choice):
    ignoring = LabelSpace(3, ignore_label=3)
    compound = DC_and_CE_loss({"batch_dice": False, "smooth": 1e-5, "do_bg": False}, {}, ignore_label=3)
    loss = prior_loss(segmentation=choose_segmentation_loss(compound, choice, ignoring), labels=ignoring)
    logits = torch.randn(2, 3, *SIZE, requires_grad=True)
    value = loss(logits, torch.full((2, 1, *SIZE), 3))
    value.backward()
    assert value.item() == 0
    assert logits.grad.abs().max() == 0


def test_per_class_cross_entropy_keeps_the_weights_of_deep_supervision():
    # log 3 for each of the two classes present: 2 log 3 at full resolution, half of log 3 below, 0 at the lowest.
    logits = [torch.zeros(1, 3, n) for n in (4, 2, 1)]
    targets = [torch.tensor([[values]]) for values in ([0, 0, 1, 0], [0, 0], [2])]
    loss = choose_segmentation_loss(host_loss(deep_supervision=True), "ce_per_class", LabelSpace(3))
    assert loss(logits, targets).item() == pytest.approx(2.5 * math.log(3))


def test_channels_that_no_target_had_are_named_once():
    loss = CrossEntropyPerClass(LabelSpace(3))
    assert loss.take_absent() == []
    loss(torch.zeros(1, 3, 2), torch.tensor([[[0, 2]]]))
    assert loss.take_absent() == [1]
    loss(torch.zeros(1, 3, 2), torch.tensor([[[0, 2]]]))
    loss(torch.zeros(1, 3, 2), torch.tensor([[[1, 1]]]))
    assert loss.take_absent() == []


def test_a_label_of_validation_alone_is_named_in_every_epoch():
    loss = CrossEntropyPerClass(LabelSpace(3))
    for _ in range(2):
        loss(torch.zeros(1, 3, 2), torch.tensor([[[0, 2]]]))
        assert loss.take_absent() == [1]
        with torch.no_grad():
            loss(torch.zeros(1, 3, 2), torch.tensor([[[1, 1]]]))


def per_class_gradients(network: nn.Module, image, target) -> list[torch.Tensor]:
    CrossEntropyPerClass(LabelSpace(3))(network(image), target).backward()
    return [p.grad for p in network.parameters()]


def uneven_batch():
    """The whole batch with class 2 in one voxel of the second half alone, class 1 in the first half alone."""
    image, target = whole_batch()
    target = target.clamp(max=1)
    target[2:] = 0
    target[3, 0, 0, 0, 0] = 2
    return image, target


def distributed_per_class_gradients(rank: int, port: int, path: str) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    network = nn.parallel.DistributedDataParallel(small_network())
    mine = slice(2 * rank, 2 * rank + 2)
    gradients = per_class_gradients(network, *(each[mine] for each in uneven_batch()))
    if rank == 0:
        torch.save(gradients, path)
    dist.destroy_process_group()


def test_per_class_means_are_of_the_batch_of_all_processes(tmp_path, free_port):
    mp.spawn(distributed_per_class_gradients, args=(free_port, str(tmp_path / "gradients.pt")), nprocs=2)
    single = per_class_gradients(small_network(), *uneven_batch())
    for one, two in zip(single, torch.load(tmp_path / "gradients.pt"), strict=True):
        assert torch.allclose(one, two, atol=1e-6, rtol=1e-4)


def small_network() -> nn.Module:
    torch.manual_seed(11)
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.LeakyReLU(), nn.Conv3d(4, 3, 1))


def whole_batch():
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(4, 1, *SIZE, generator=generator),
        torch.randint(3, (4, 1, *SIZE), generator=generator).short(),
    )


class ThreeOfFourValid(PatchGrid):
    """Sample 1 of the whole batch does not count, so that the processes have different numbers of valid samples."""

    def around(self, foreground):
        valid = foreground.flatten(1).sum(1) != (whole_batch()[1][1] > 0).sum()
        return View(valid, ~valid, torch.zeros(len(foreground)))


def gradients_of(network: nn.Module, image, target, *, balance: bool) -> list[torch.Tensor]:
    loss = prior_loss(weight=0.3, balance=balance, grid=ThreeOfFourValid(SIZE))
    loss(network(image), target).backward()
    return [p.grad for p in network.parameters()]


def statistics_of(network: nn.Module, image, target) -> dict[str, float]:
    loss = prior_loss(weight=0.3, grid=ThreeOfFourValid(SIZE))
    loss(network(image), target).backward()
    return loss.take_statistics()


def distributed_statistics(rank: int, port: int, path: str) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    image, target = whole_batch()
    mine = slice(2 * rank, 2 * rank + 2)
    network = nn.parallel.DistributedDataParallel(small_network())
    torch.save(statistics_of(network, image[mine], target[mine]), f"{path}{rank}")
    dist.destroy_process_group()


def test_every_process_has_the_statistics_of_the_whole_batch(tmp_path, free_port):
    mp.spawn(distributed_statistics, args=(free_port, str(tmp_path / "of")), nprocs=2)
    single = statistics_of(small_network(), *whole_batch())
    assert single["cut_off_share"] == 0.25
    for rank in (0, 1):
        assert torch.load(tmp_path / f"of{rank}") == pytest.approx(single, rel=1e-4)


def distributed_gradients(rank: int, port: int, balance: bool, path: str) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    network = nn.parallel.DistributedDataParallel(small_network())
    image, target = whole_batch()
    mine = slice(2 * rank, 2 * rank + 2)
    gradients = gradients_of(network, image[mine], target[mine], balance=balance)
    if rank == 0:
        torch.save(gradients, path)
    dist.destroy_process_group()


@pytest.mark.parametrize("balance", [False, True])
def test_two_gloo_processes_give_the_gradients_of_one(tmp_path, balance, free_port):
    mp.spawn(distributed_gradients, args=(free_port, balance, str(tmp_path / "gradients.pt")), nprocs=2)
    distributed = torch.load(tmp_path / "gradients.pt")
    single = gradients_of(small_network(), *whole_batch(), balance=balance)
    for one, two in zip(single, distributed, strict=True):
        assert torch.allclose(one, two, atol=1e-7, rtol=1e-4)


@pytest.mark.slow
# Dynamo looks at .grad of the graph's inputs while it traces, whoever they belong to.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_compiled_network_gets_the_same_gradients():
    image, target = whole_batch()
    plain = gradients_of(small_network(), image, target, balance=True)
    network = small_network()
    loss = torch.compile(prior_loss(weight=0.3, balance=True, grid=ThreeOfFourValid(SIZE)))
    loss(torch.compile(network)(image), target).backward()
    for one, two in zip(plain, (p.grad for p in network.parameters()), strict=True):
        assert torch.allclose(one, two, atol=1e-6, rtol=1e-3)
