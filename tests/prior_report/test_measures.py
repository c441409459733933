"""Measures of codes and patches by hand."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

from acnn_nnunet.nnunet.mirroring import Mirroring
from acnn_nnunet.prior_report.measures import (
    _count_patches,
    _mean_dice,
    defect_cases,
    describe_codes,
    draw_patches,
    judge_predictor,
    num_batches,
)
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.loss.distances import SquaredDistance


def test_shares_of_patches_by_hand():
    # Present, cut off, masked, outside: whole; cut off and masked; a tenth outside; without anatomy.
    table = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0.1], [0, 0, 1, 0]]).double()
    found = _count_patches(table)
    assert (found["patches"], found["with_anatomy"]) == (4, 3)
    assert found["cut_off_share"] == pytest.approx(1 / 3)
    assert found["masked_share"] == 0.5
    assert found["masked_anatomy_share"] == pytest.approx(1 / 3)
    assert found["outside_share"] == pytest.approx(0.05)


def test_patches_without_anatomy_have_no_shares():
    found = _count_patches(torch.tensor([[0.0, 0, 1, 0]]).double())
    assert (found["with_anatomy"], found["cut_off_share"], found["outside_share"]) == (0, 0, 0)


def test_masks_that_are_empty_in_both_do_not_count_in_dice():
    first = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], dtype=bool)
    second = np.array([[1, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)
    assert _mean_dice(first, second) == pytest.approx(2 / 3)
    assert _mean_dice(first[1:], second[1:]) == 1


@pytest.mark.parametrize(("num_training", "source"), [(1, "held-out cases"), (2, "training patches")])
def test_codes_of_held_out_cases_stand_in_for_too_few_patches(num_training, source):
    held_out, training = torch.tensor([[0.0], [1], [4]]), torch.tensor([[2.0], [10]])[:num_training]
    found = describe_codes(held_out, training)
    assert (found["source"], found["num_codes"]) == (source, 3 if num_training == 1 else 2)
    (dimension,) = found["dimensions"]
    assert (dimension["edges"][0], dimension["edges"][-1]) == ((0, 4) if num_training == 1 else (0, 10))
    assert sum(dimension["held_out_counts"]) == 3


@pytest.mark.parametrize(("batch_size", "batches"), [(1, 200), (2, 100), (3, 67), (200, 1), (500, 1)])
def test_batches_hold_two_hundred_patches_at_least(batch_size, batches):
    assert num_batches(SimpleNamespace(batch_size=batch_size)) == batches


@pytest.mark.parametrize(
    ("held_out", "chosen"), [("a", "a"), ("abcdefgh", "abcdefgh"), ("abcdefghijklmno", "acegikmo")]
)
def test_defects_are_made_of_eight_cases_at_most(held_out, chosen):
    subject = SimpleNamespace(view=SimpleNamespace(validation_cases=tuple(held_out)))

    assert defect_cases(subject) == tuple(chosen)


def test_without_a_predictor_nothing_is_judged():
    assert judge_predictor(SimpleNamespace(has_predictor=False), torch.zeros(1, 2), torch.zeros(1, 2)) is None


def test_a_predictor_that_says_the_mean_is_as_wrong_as_the_codes_are_spread():
    subject = SimpleNamespace(has_predictor=True, device="cpu", distances={"l2": SquaredDistance()})
    codes = torch.tensor([[0.0, 0], [2, 0]])

    # Each code is 1 from the mean (1, 0).
    expected = {"l2": {"distance": 1.0, "spread": 1.0, "relative": 1.0}}
    assert judge_predictor(subject, torch.tensor([[1.0, 0], [1, 0]]), codes) == expected


def training_targets(targets, num_batches, *, seed, adapt):
    adapt(None)  # the fold's transforms
    return iter(targets)


def patches_of(*targets):
    """A subject whose code is the size of the anatomy, in the whole patch; those with an even size count."""
    steps = []

    def around(foreground):
        sizes = foreground.flatten(1).sum(1)

        class View:
            valid, cut_off, outside_share = sizes % 2 == 0, sizes > 3, sizes / 8

            def __call__(self, maps, *, beyond):
                return maps

        return View()

    subject = SimpleNamespace(
        batch_size=2,
        labels=LabelSpace(2),
        device="cpu",
        grid=SimpleNamespace(around=around),
        network=SimpleNamespace(encoder=lambda maps: maps[:, 1].flatten(1).sum(1, keepdim=True)),
        prior=SimpleNamespace(spec=SimpleNamespace(code_size=1)),
        view=SimpleNamespace(training_targets=partial(training_targets, targets), mirroring=Mirroring()),
        advance=lambda: steps.append(1),
    )
    return subject, steps


def test_patches_that_count_have_codes_and_the_batch_with_most_of_them_is_kept():
    # Sizes of the anatomies: 2 and 1; 2 and 4; 0 and 3.
    rows = [[[1, 1, 0, 0], [1, 0, 0, 0]], [[0, 1, 1, 0], [1, 1, 1, 1]], [[0, 0, 0, 0], [1, 1, 1, 0]]]
    targets = [torch.tensor(each)[:, None] for each in rows]
    subject, steps = patches_of(*targets)

    found, codes, best = draw_patches(subject)

    assert codes.tolist() == [[2], [2], [4]]
    assert best is targets[1]
    assert (found["patches"], found["with_anatomy"], len(steps)) == (6, 5, 3)
    assert found["cut_off_share"] == pytest.approx(1 / 5)
    assert found["masked_share"] == pytest.approx(2 / 6)
    # Of the patches that count, with 2, 2 and 4 voxels: 2/8, 2/8 and 4/8 of each beyond the grid.
    assert found["outside_share"] == pytest.approx(1 / 3)


def test_patches_without_anatomy_have_no_codes():
    nothing = torch.zeros(2, 1, 4)
    subject, _ = patches_of(nothing)

    found, codes, best = draw_patches(subject)

    assert tuple(codes.shape) == (0, 1)
    assert best is nothing
    assert found["with_anatomy"] == 0


def test_labels_of_training_patches_change_places_where_the_priors_training_mirrors_them():
    nothing = torch.zeros(2, 1, 4)
    subject, _ = patches_of(nothing)
    subject.view.mirroring = Mirroring(axes=(0, 2), swap_axis=2, swaps={1: 2, 2: 1})
    transforms = ComposeTransforms([MirrorTransform((0, 2))])

    def adapted(num_batches, *, seed, adapt):
        adapt(transforms)
        return iter([nothing])

    subject.view.training_targets = adapted
    draw_patches(subject)
    segmentation = torch.tensor([0, 1, 2])[None, None, None]  # (C, Z, Y, X)

    (mirror,) = transforms.transforms
    assert mirror.apply({"segmentation": segmentation}, axes=[2])["segmentation"].flatten().tolist() == [1, 2, 0]
