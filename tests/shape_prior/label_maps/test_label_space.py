"""Channels, unannotated voxels and losses of label maps."""

import math

import pytest
import torch

from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace, one_hot

REGIONS = LabelSpace(2, regions=True)
CLASSES = LabelSpace(3)


def test_classes_become_one_hot_and_padding_background():
    target = torch.tensor([[[0, 1, 2, -1]]])
    expected = torch.tensor([[[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]]]).float()
    assert torch.equal(CLASSES.target_maps(target), expected)


def test_ignored_classes_are_the_same_constant_in_both_branches():
    labels = LabelSpace(3, ignore_label=3)
    target = torch.tensor([[[0, 1, 3]]])
    logits = torch.randn(1, 3, 3)
    assert torch.equal(labels.target_maps(target)[..., 2], torch.tensor([[1.0, 0.0, 0.0]]))
    prediction = labels.prediction_maps(logits, target)
    assert torch.equal(prediction[..., 2], torch.tensor([[1.0, 0.0, 0.0]]))
    assert torch.allclose(prediction[..., :2], torch.softmax(logits, 1)[..., :2])


def test_regions_overlap_and_the_last_channel_marks_what_is_ignored():
    labels = LabelSpace(2, regions=True, ignore_label=3)
    target = torch.tensor([[[1, 1, 0], [1, 0, 0], [0, 0, 1]]]).bool()
    assert torch.equal(labels.target_maps(target), torch.tensor([[[1.0, 1, 0], [1, 0, 0]]]))
    logits = torch.randn(1, 2, 3)
    prediction = labels.prediction_maps(logits, target)
    assert torch.allclose(prediction[..., :2], torch.sigmoid(logits)[..., :2])
    assert torch.equal(prediction[..., 2], torch.zeros(1, 2))


def test_foreground():
    maps = CLASSES.target_maps(torch.tensor([[[0, 1, 2]]]))
    assert CLASSES.foreground(maps).tolist() == [[[False, True, True]]]
    regions = torch.tensor([[[0.0, 1, 1], [0, 0, 1]]])
    assert LabelSpace(2, regions=True).foreground(regions).tolist() == [[[False, True, True]]]


def test_cross_entropy_by_hand():
    # Equal logits: log 3 a voxel; the ignored voxel has logits that would cost 100.
    logits = torch.zeros(1, 3, 2)
    logits[0, 1, 1] = 100
    target = torch.tensor([[[2, 3]]])
    labels = LabelSpace(3, ignore_label=3)
    loss = labels.cross_entropy(logits, labels.target_maps(target), labels.known(target))
    assert math.isclose(loss.item(), math.log(3), rel_tol=1e-6)


def test_binary_cross_entropy_of_regions_by_hand():
    loss = LabelSpace(2, regions=True).cross_entropy(torch.zeros(1, 2, 4), torch.ones(1, 2, 4), torch.ones(1, 1, 4))
    assert math.isclose(loss.item(), math.log(2), rel_tol=1e-6)


def test_cross_entropy_per_class_by_hand():
    # -log2 of the right class's probability: 1 and 2 in two voxels of class 0, 3 in one of class 1; class 2 has none.
    # (1 + 2) / 2 + 3 = 4.5; the mean over all voxels would be 2.
    probabilities = torch.tensor([[[1 / 2, 1 / 4, 1 / 8], [1 / 4, 1 / 4, 1 / 8], [1 / 4, 1 / 2, 3 / 4]]])
    target = torch.tensor([[[0, 0, 1]]])
    loss = CLASSES.cross_entropy_per_class(probabilities.log(), CLASSES.target_maps(target), torch.ones(1, 1, 3))
    assert math.isclose(loss.item(), 4.5 * math.log(2), rel_tol=1e-6)


def test_cross_entropy_per_class_weighs_a_small_class_as_much_as_a_large_one():
    # One voxel of class 1 and 99 of class 0, all undecided between three: log 3 for each class present.
    target = torch.zeros(1, 1, 100).long()
    target[..., 0] = 1
    loss = CLASSES.cross_entropy_per_class(torch.zeros(1, 3, 100), CLASSES.target_maps(target), torch.ones(1, 1, 100))
    assert math.isclose(loss.item(), 2 * math.log(3), rel_tol=1e-6)


def test_cross_entropy_per_class_of_regions_by_hand():
    # Region 1: foreground in one voxel (2 bits), background in two (1 and 3 bits): 2 + (1 + 3) / 2 = 4.
    # Region 2 is nowhere: of its background 1 bit in every voxel. 4 + 1 = 5.
    probabilities = torch.tensor([[[1 / 4, 1 / 2, 7 / 8], [1 / 2, 1 / 2, 1 / 2]]])
    maps = torch.tensor([[[1.0, 0, 0], [0, 0, 0]]])
    labels = LabelSpace(2, regions=True)
    loss = labels.cross_entropy_per_class(torch.logit(probabilities), maps, torch.ones(1, 1, 3))
    assert math.isclose(loss.item(), 5 * math.log(2), rel_tol=1e-6)


def test_cross_entropy_per_class_leaves_out_what_is_not_annotated():
    labels = LabelSpace(3, ignore_label=3)
    logits = torch.zeros(1, 3, 2)
    logits[0, 1, 1] = 100
    target = torch.tensor([[[2, 3]]])
    loss = labels.cross_entropy_per_class(logits, labels.target_maps(target), labels.known(target))
    assert math.isclose(loss.item(), math.log(3), rel_tol=1e-6)


def test_cross_entropy_per_class_of_soft_maps_is_a_weighted_mean():
    # Class 1 has weights 1 and 1/2, at 1 and 4 bits: (1 + 2) / 1.5 = 2; class 0 has 1/2 at 2 bits: 2.
    probabilities = torch.tensor([[[1 / 4, 1 / 4], [1 / 2, 1 / 16], [1 / 4, 11 / 16]]])
    maps = torch.tensor([[[0, 1 / 2], [1, 1 / 2], [0, 0]]])
    loss = CLASSES.cross_entropy_per_class(probabilities.log(), maps, torch.ones(1, 1, 2))
    assert math.isclose(loss.item(), 4 * math.log(2), rel_tol=1e-6)


@pytest.mark.parametrize("labels", [CLASSES, REGIONS])
def test_cross_entropy_per_class_of_nothing_annotated_is_zero(labels):
    logits = torch.ones(1, labels.num_channels, 4, requires_grad=True)
    maps, unknown = torch.zeros(1, labels.num_channels, 4), torch.zeros(1, 1, 4)
    loss = labels.cross_entropy_per_class(logits, maps, unknown)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_cross_entropy_per_class_of_a_certain_mistake_is_finite_in_half_precision():
    logits = torch.tensor([[[0.0], [60000.0], [0.0]]]).half()
    maps = torch.tensor([[[1.0], [0], [0]]])
    assert CLASSES.cross_entropy_per_class(logits, maps, torch.ones(1, 1, 1)).item() == pytest.approx(60000, rel=1e-3)


def test_soft_dice_loss_by_hand():
    # Certain logits: label 1 has 2 voxels, 1 of them found, none too many: (2·1 + 1) / (2 + 1 + 1) = 3/4.
    # Label 2 is in neither map: (0 + 1) / (0 + 0 + 1) = 1. Mean loss: 1 - 7/8.
    target = torch.tensor([[[1, 1, 0, 0]]])
    logits = 1e4 * torch.tensor([[[0.0, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]])
    loss = CLASSES.soft_dice_loss(logits, CLASSES.target_maps(target), torch.ones(1, 1, 4))
    assert math.isclose(loss.item(), 1 / 8, abs_tol=1e-6)


def test_soft_dice_loss_without_annotation_is_zero():
    background = CLASSES.target_maps(torch.zeros(1, 1, 4))
    assert CLASSES.soft_dice_loss(torch.randn(1, 3, 4), background, torch.zeros(1, 1, 4)).item() == 0


def test_decisions():
    logits = torch.tensor([[[2.0, 0], [1, 3]]])
    assert LabelSpace(2).decisions(logits).tolist() == [[[1, 0], [0, 1]]]
    assert LabelSpace(2, regions=True).decisions(logits - 1.5).tolist() == [[[1, 0], [0, 1]]]


def test_margins_are_above_zero_where_a_channel_is_chosen():
    maps = torch.tensor([[0.2, 0.5, 0.3], [0.45, 0.15, 0.4]]).T[None]  # (1, 3, 2)

    classes = LabelSpace(3).margins(maps)
    regions = LabelSpace(3, regions=True).margins(maps)

    torch.testing.assert_close(classes, torch.tensor([[[-0.3, 0.05], [0.2, -0.3], [-0.2, -0.05]]]))
    torch.testing.assert_close(regions, maps - 0.5)


def test_background_is_the_first_class_and_no_region():
    assert (CLASSES.background, REGIONS.background) == ((1.0, 0.0, 0.0), (0.0, 0.0))


def test_a_single_class_is_all_background():
    assert LabelSpace(1).background == (1.0,)


def test_soft_maps_become_the_most_likely_class():
    maps = torch.tensor([[0.4, 0.1], [0.35, 0.2], [0.25, 0.7]])[None]

    assert CLASSES.hardened(maps).tolist() == [[[1, 0], [0, 0], [0, 1]]]


def test_soft_maps_become_every_region_above_a_half():
    maps = torch.tensor([[0.5, 0.51], [0.9, 0.2]])[None]

    assert REGIONS.hardened(maps).tolist() == [[[0, 1], [1, 0]]]


def test_a_class_on_a_par_with_the_background_is_no_foreground():
    maps = torch.tensor([[0.5, 0.49], [0.5, 0.51]])[None]

    assert LabelSpace(2).foreground(maps).tolist() == [[[False, True]]]


def test_cross_entropy_voxel_by_voxel():
    # Logits log 1, log 2, log 1: probabilities 1/4, 1/2, 1/4.
    logits = torch.tensor([1.0, 2, 1]).log()[None, :, None].expand(1, 3, 2)
    maps = CLASSES.target_maps(torch.tensor([[[0, 1]]]))

    found = CLASSES.voxelwise_cross_entropy(logits, maps)

    torch.testing.assert_close(found, torch.tensor([[[math.log(4), math.log(2)]]]))


def test_cross_entropy_of_regions_keeps_the_channels():
    # Logit log 3 is the probability 3/4.
    logits = torch.full((1, 2, 1), math.log(3))

    found = REGIONS.voxelwise_cross_entropy(logits, torch.tensor([[[1.0], [0.0]]]))

    torch.testing.assert_close(found, torch.tensor([[[math.log(4 / 3)], [math.log(4)]]]))


@pytest.mark.parametrize("labels", [CLASSES, REGIONS])
def test_cross_entropy_of_nothing_annotated_is_zero(labels):
    shape = (1, labels.num_channels, 4)

    loss = labels.cross_entropy(torch.randn(shape), torch.rand(shape), torch.zeros(1, 1, 4))

    assert loss.item() == 0


def test_half_precision_logits_give_probabilities_in_float32():
    # The probability lies 2⁻¹⁰ above a half, where the step of bfloat16 is 2⁻⁸.
    logits = torch.tensor([[[0.0], [2**-8]]], dtype=torch.bfloat16)

    found = LabelSpace(2).probabilities(logits)

    assert found.dtype == torch.float32
    assert found[0, 1].item() == pytest.approx(1 / (1 + math.exp(-(2**-8))), abs=1e-6)


def test_without_an_ignore_label_every_voxel_is_known():
    target = torch.tensor([[[0, 2, -1]]])

    assert CLASSES.known(target).tolist() == [[[1, 1, 1]]]
    assert not CLASSES.ignored(target).any()


def test_the_last_channel_of_regions_marks_what_is_not_known():
    target = torch.tensor([[[1, 0], [0, 0], [0, 1]]])

    assert LabelSpace(2, regions=True, ignore_label=3).known(target).tolist() == [[[1, 0]]]


def test_predictions_are_left_alone_without_an_ignore_label():
    logits = torch.tensor([[[2.0], [1.0], [0.0]]])

    found = CLASSES.prediction_maps(logits, torch.tensor([[[1]]]))

    torch.testing.assert_close(found, torch.softmax(logits, 1))


def test_one_hot_of_one_voxel():
    assert one_hot(torch.tensor([[[2]]]), 4).tolist() == [[[0], [0], [1], [0]]]
