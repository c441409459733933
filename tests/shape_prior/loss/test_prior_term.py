"""The prior's terms: distance of codes, on the patch and on a box, and the volume outside."""

import copy

import pytest
import torch
from torch import nn

from acnn_nnunet.shape_prior.grids.views import PatchGrid, RoiGrid
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.loss.distances import SquaredDistance, WhitenedDistance
from acnn_nnunet.shape_prior.loss.prior_loss import ShapePriorLoss
from acnn_nnunet.shape_prior.loss.prior_term import PriorTerm, make_prior_term
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork

SIZE = (8, 8, 8)


def tl_network(size=SIZE) -> TLNetwork:
    torch.manual_seed(5)
    network = TLNetwork(size, num_classes=3, image_channels=1, code_size=6)
    for _ in range(30):  # batch statistics as after some training
        network.reconstruct(torch.rand(4, 3, *size).round())
    return network.eval()


def prior_term(network=None, *, grid=None, labels=None, **weights) -> PriorTerm:
    network = network or tl_network()
    return PriorTerm(
        network.encoder,
        distance=SquaredDistance(),
        grid=grid or PatchGrid(SIZE),
        labels=labels or LabelSpace(3),
        **weights,
    )


def roi(size=(4, 4, 4), patch_spacing_mm=(1.0, 1.0, 1.0)) -> RoiGrid:
    return RoiGrid(size, spacing_mm=(1.0, 1.0, 1.0), patch_spacing_mm=patch_spacing_mm)


@pytest.fixture
def batch():
    return torch.randn(2, 3, *SIZE, requires_grad=True), torch.randint(3, (2, 1, *SIZE)).short()


@pytest.fixture
def blocks():
    """Three patches: a whole anatomy, one that is cut off, none."""
    target = torch.zeros(3, 1, *SIZE, dtype=torch.int16)
    target[0, 0, 3:5, 3:5, 3:5] = 1
    target[1, 0, 0:3, 3:5, 3:5] = 2
    return torch.randn(3, 3, *SIZE, requires_grad=True), target


def test_a_term_without_a_weight_is_not_computed(batch):
    assert set(prior_term()(*batch).terms) == {"distance"}
    assert set(prior_term(grid=roi(SIZE), outside_weight=2.0)(*batch).terms) == {"distance", "outside_volume"}


def test_the_distance_is_that_of_the_codes(batch):
    logits, target = batch
    network = tl_network()
    terms = prior_term(network)(logits, target).terms
    maps = [nn.functional.one_hot(target[:, 0].long(), 3).movedim(-1, 1).float(), torch.softmax(logits, 1)]
    codes = [network.encoder(one) for one in maps]
    assert terms["distance"].item() == pytest.approx((codes[0] - codes[1]).square().sum(1).mean().item(), rel=1e-5)


def outside_volume(logits, target, labels=None) -> float:
    term = prior_term(tl_network((4, 4, 4)), grid=roi(), labels=labels, outside_weight=1.0)
    return term(logits, target).terms["outside_volume"].item()


def test_the_volume_outside_by_hand(blocks):
    # The box around the 8 voxels of the whole anatomy has 4³ of 8³ voxels. Undecided between three classes, each of
    # the 448 others is foreground by 2/3; the two other samples do not count.
    assert outside_volume(torch.zeros(3, 3, *SIZE), blocks[1]) == pytest.approx(448 * 2 / 3 / 8, rel=1e-5)


def test_the_volume_outside_of_regions_is_that_of_the_likeliest():
    target = torch.zeros(1, 3, *SIZE)
    target[0, 0, 3:5, 3:5, 3:5] = 1
    logits = torch.zeros(1, 3, *SIZE)
    logits[:, 1:] = -60
    assert outside_volume(logits, target, LabelSpace(3, regions=True)) == pytest.approx(448 / 2 / 8, rel=1e-5)


def test_the_volume_outside_is_zero_at_the_truth_even_where_the_anatomy_is_larger_than_the_box():
    target = torch.zeros(1, 1, *SIZE, dtype=torch.int16)
    target[0, 0, 1:7, 3:5, 3:5] = 1
    assert outside_volume(60 * LabelSpace(3).target_maps(target), target) == pytest.approx(0, abs=1e-6)


def test_an_island_beyond_the_box_is_pulled_down_by_the_outside_term_alone(blocks):
    target = blocks[1][:1]
    logits = 20 * LabelSpace(3).target_maps(target)
    logits[0, 1, 0, 0, 0] = 21.0  # an island as likely as not
    logits.requires_grad_()
    terms = prior_term(tl_network((4, 4, 4)), grid=roi(), outside_weight=1.0)(logits, target).terms
    gradients = {name: torch.autograd.grad(term, logits, retain_graph=True)[0] for name, term in terms.items()}
    assert gradients["distance"][0, :, 0, 0, 0].abs().max() == 0
    assert gradients["outside_volume"][0, 1, 0, 0, 0] > 0 > gradients["outside_volume"][0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("name", "grid", "weights"),
    [
        ("distance", PatchGrid(SIZE), {}),
        ("distance", roi(SIZE, (2.0, 1.0, 0.7)), {}),
        ("outside_volume", roi(SIZE, (2.0, 1.0, 0.7)), {"outside_weight": 1.0}),
    ],
    ids=["patch", "roi", "outside"],
)
def test_gradients_are_those_of_finite_differences_in_float64(name, grid, weights):
    term = prior_term(tl_network().double(), grid=grid, **weights)
    target = torch.zeros(1, 1, *SIZE, dtype=torch.int16)
    target[0, 0, 3:6, 2:6, 3:5] = 1
    target[0, 0, 3:6, 4:6, 3:5] = 2
    logits = torch.randn(1, 3, *SIZE, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(term(logits, target).terms[name], logits)
    assert gradient.norm() > 0
    with torch.no_grad():
        for _ in range(4):
            direction = torch.randn_like(logits)
            step = 1e-6
            ahead, behind = (term(logits + sign * step * direction, target).terms[name] for sign in (1, -1))
            slope = ((ahead - behind) / (2 * step)).item()
            assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("labels", [LabelSpace(3), LabelSpace(3, regions=True)], ids=["classes", "regions"])
@pytest.mark.parametrize("grid", [PatchGrid(SIZE), roi()], ids=["patch", "roi"])
def test_the_distance_is_zero_at_the_truth_and_positive_elsewhere(labels, grid):
    target = torch.zeros(2, 3 if labels.regions else 1, *SIZE)
    target[:, :, 3:6, 2:6, 3:5] = 1
    perfect = 60 * (labels.target_maps(target) - 0.5)
    term = prior_term(tl_network(grid.size), labels=labels, grid=grid)
    for value in term(perfect, target).terms.values():
        assert value.item() == pytest.approx(0, abs=1e-7)
    for value in term(perfect + 20 * torch.randn_like(perfect), target).terms.values():
        assert value > 1e-6


def test_on_a_box_only_whole_anatomies_count(blocks):
    logits, target = blocks
    term = prior_term(tl_network((4, 4, 4)), grid=roi())
    values = term(logits, target)
    alone = term(logits[:1], target[:1])
    for name, value in values.terms.items():
        assert value.item() == pytest.approx(alone.terms[name].item(), rel=1e-3)
        (gradient,) = torch.autograd.grad(value, logits, retain_graph=True)
        assert gradient[1:].norm() == 0
        assert gradient[0, :, 2:6, 2:6, 2:6].norm() > 0
        inside = torch.zeros_like(gradient)
        inside[0, :, 2:6, 2:6, 2:6] = 1
        assert (gradient * (1 - inside)).norm() == 0
    shares = {name: (total.item(), count.item()) for name, (total, count) in values.shares.items()}
    assert shares == {"cut_off_share": (1, 3), "masked_share": (2, 3), "outside_share": (0, 1)}


def test_nothing_whole_costs_nothing(blocks):
    logits, target = blocks
    loss = ShapePriorLoss(
        SegmentationLoss(),
        prior_term(tl_network((4, 4, 4)), grid=roi()),
        weight=0.5,
        balance_gradients=True,
    )
    value = loss(logits[1:], target[1:])
    assert value.item() == SegmentationLoss()(logits[1:], target[1:]).item()
    value.backward()
    assert torch.isfinite(logits.grad).all()
    assert loss.take_statistics()["masked_share"] == 1


def test_a_box_serves_patches_of_another_size_and_spacing():
    """A block in voxels of 1 mm and, upsampled in the box, of 2 mm: nearly one code, far from another block's."""
    network = tl_network((12, 12, 12))
    fine = torch.zeros(1, 1, 20, 20, 20)
    fine[:, :, 6:14, 4:12, 6:14] = 1
    other = torch.zeros(1, 1, 20, 20, 20)
    other[:, :, 6:14, 9:11, 6:14] = 1
    labels, codes = LabelSpace(3), []
    for target, spacing_mm in ((fine, 1.0), (fine[:, :, ::2, ::2, ::2], 2.0), (other, 1.0)):
        maps = labels.target_maps(target)
        view = roi((12, 12, 12), (spacing_mm,) * 3).around(labels.foreground(maps))
        assert view.valid.all()
        codes.append(network.encoder(view(maps, beyond=labels.background)))
    assert (codes[0] - codes[1]).norm() < 0.5 * (codes[0] - codes[2]).norm()


def test_an_outer_autocast_changes_nothing(blocks):
    logits, target = blocks
    term = prior_term(tl_network((4, 4, 4)), grid=roi())
    plain = term(logits, target).terms
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = term(logits, target).terms
    assert {name: value.dtype for name, value in cast.items()} == dict.fromkeys(plain, torch.float32)
    assert {name: value.item() for name, value in cast.items()} == {n: value.item() for n, value in plain.items()}


class SegmentationLoss(nn.Module):
    def forward(self, output, target):
        return nn.functional.cross_entropy(output, target[:, 0].long())


def both_terms() -> PriorTerm:
    return prior_term(tl_network((4, 4, 4)), grid=roi(), outside_weight=2.0)


def gradients_at(logits, target) -> dict[str, torch.Tensor]:
    values = both_terms()(logits, target).terms
    return {name: torch.autograd.grad(value, logits, retain_graph=True)[0] for name, value in values.items()}


def test_balanced_terms_have_the_ratio_of_their_weights_and_the_sum_that_of_the_weight(blocks):
    logits, target = blocks
    loss = ShapePriorLoss(SegmentationLoss(), both_terms(), weight=0.3, balance_gradients=True)
    (gradient,) = torch.autograd.grad(loss(logits, target), logits)
    (segmentation,) = torch.autograd.grad(SegmentationLoss()(logits, target), logits)
    weights = {"distance": 1.0, "outside_volume": 2.0}
    terms = gradients_at(logits, target)
    direction = sum(weight * terms[name] / terms[name].norm() for name, weight in weights.items())
    expected = 0.3 * segmentation.norm() * direction / direction.norm()
    assert torch.allclose(gradient - segmentation, expected, atol=1e-7, rtol=1e-3)
    statistics = loss.take_statistics()
    assert statistics["gradient_ratio"] == pytest.approx(0.3, rel=1e-3)
    assert {"prior_distance", "prior_outside_volume"} <= set(statistics)


def test_with_a_constant_weight_the_terms_are_added_as_they_are(blocks):
    logits, target = blocks
    term = both_terms()
    loss = ShapePriorLoss(SegmentationLoss(), term, weight=0.1, balance_gradients=False)
    values = {name: value.item() for name, value in term(logits, target).terms.items()}
    prior = 0.1 * (values["distance"] + 2 * values["outside_volume"])
    segmentation = SegmentationLoss()(logits, target).item()
    total = loss(logits, target)
    assert total.item() == pytest.approx(segmentation + prior, rel=1e-5)
    assert loss.take_statistics()["prior_loss"] == pytest.approx(prior, rel=1e-5)
    (gradient,) = torch.autograd.grad(total, logits)
    terms = gradients_at(logits, target)
    expected = 0.1 * (terms["distance"] + 2 * terms["outside_volume"])
    (expected_segmentation,) = torch.autograd.grad(SegmentationLoss()(logits, target), logits)
    assert torch.allclose(gradient, expected_segmentation + expected, atol=1e-8, rtol=1e-4)


def test_frozen_means_bitwise_frozen_with_both_terms(blocks):
    _, target = blocks
    model = nn.Conv3d(1, 3, 3, padding=1)
    network = tl_network((4, 4, 4))
    term = PriorTerm(
        network.encoder,
        distance=WhitenedDistance(torch.eye(6)),
        grid=roi(),
        labels=LabelSpace(3),
        outside_weight=1.0,
    )
    loss = ShapePriorLoss(SegmentationLoss(), term, weight=1.0, balance_gradients=True)
    before, weights = copy.deepcopy(network.state_dict()), model.weight.detach().clone()
    together = nn.ModuleList([model, loss]).train()
    optimizer = torch.optim.SGD([p for p in together.parameters() if p.requires_grad], 0.1)
    loss(model(torch.randn(3, 1, *SIZE)), target).backward()
    optimizer.step()
    assert not torch.equal(model.weight, weights)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(p.requires_grad for p in loss.parameters())
    assert not any(module.training for module in loss.prior.modules())


@pytest.mark.parametrize(("distance", "kind"), [("l2", SquaredDistance), ("whitened", WhitenedDistance)])
def test_a_priors_term_has_the_distance_that_the_setting_names(distance, kind):
    term = make_prior_term(tl_network(), distance=distance, grid=PatchGrid(SIZE), labels=LabelSpace(3))

    assert isinstance(term.distance, kind)
    assert list(term.weights) == ["distance"]


def test_a_priors_term_has_the_terms_that_have_a_weight():
    term = make_prior_term(tl_network(), distance="l2", grid=roi(SIZE), labels=LabelSpace(3), outside_weight=2.0)

    assert term.weights == {"distance": 1.0, "outside_volume": 2.0}
    assert not any(parameter.requires_grad for parameter in term.parameters())
