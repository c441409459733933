"""What is taken over of an anatomy that is given by hand."""

import numpy as np
import torch

from acnn_nnunet.refinement.mending import propose, thick_differences
from acnn_nnunet.refinement.placement import place_grid
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace

LABELS = LabelSpace(2)
CUBES, SLICES = (1.0, 1.0, 1.0), (8.0, 1.0, 1.0)


def maps(*boxes, size=(10, 14, 14), certainty=0.8):
    mask = torch.zeros(size)
    for box in boxes:
        mask[tuple(slice(*each) for each in box)] = 1
    soft = 0.5 + certainty * (mask - 0.5)
    return torch.stack([1 - soft, soft])[None]


BODY = ((2, 8), (2, 12), (2, 12))


def test_equal_maps_differ_nowhere():
    assert not thick_differences(maps(BODY), maps(BODY, certainty=0.1), LABELS, CUBES).any()


def test_a_shell_is_thin_and_a_block_is_thick():
    grown = maps(((1, 9), (1, 13), (1, 13)))
    missing = maps(((2, 8), (2, 12), (2, 6)))  # six of ten columns are gone

    assert not thick_differences(maps(BODY), grown, LABELS, CUBES).any()
    thick = thick_differences(missing, maps(BODY), LABELS, CUBES)[0, 0]
    assert thick[4:6, 4:10, 7:11].all()
    assert not thick[:, :, :5].any()  # one voxel beyond the difference, no more


def test_what_is_missing_is_added_and_what_is_predicted_goes_only_for_a_sure_anatomy():
    body, left = maps(BODY, certainty=0.98), ((2, 8), (2, 12), (2, 6))

    assert not thick_differences(body, maps(left, certainty=0.8), LABELS, CUBES).any()
    gone = thick_differences(body, maps(left, certainty=0.98), LABELS, CUBES)[0, 0]
    assert gone[4:6, 4:10, 7:11].all()
    added = thick_differences(maps(left, certainty=0.98), maps(BODY, certainty=0.8), LABELS, CUBES)[0, 0]
    assert added[4:6, 4:10, 7:11].all()
    assert not added[:, :, 2:6].any()  # what is predicted stays, next to what is added too


def test_a_single_thick_slice_that_is_missing_counts():
    gap = maps(((2, 4), (2, 12), (2, 12)), ((5, 8), (2, 12), (2, 12)))

    assert not thick_differences(gap, maps(BODY), LABELS, CUBES).any()
    thick = thick_differences(gap, maps(BODY), LABELS, SLICES)[0, 0]
    assert thick[4, 3:11, 3:11].all()
    assert not thick[[3, 5]].any()


def proposal(soft, anatomy):
    def place(mask):
        return place_grid(mask, CUBES, kind="patch", size=soft.shape[2:], grid_spacing_mm=CUBES)

    box = tuple(slice(0, n) for n in soft.shape[2:])
    main = (soft[0, 1] > 0.5).numpy()
    return propose(soft, box, main=main, place=place, anatomy_of=lambda *_: anatomy, labels=LABELS, spacing_mm=CUBES)


def mixed(found, thin, *, thick=True):
    return found.mixed(torch.full((2,), thin), torch.full((2,), thick))


def test_an_empty_prediction_stays():
    found = proposal(maps(), maps(BODY))

    assert torch.equal(mixed(found, 1.0), maps())


def test_thick_changes_come_in_whole_and_thin_ones_by_their_weight():
    missing = maps(((2, 8), (2, 12), (2, 6)))
    anatomy = maps(((2, 8), (2, 12), (1, 12)))  # fills the gap, and is one voxel longer on the other side

    found = proposal(missing, anatomy)

    assert torch.equal(mixed(found, 0.0, thick=False), missing)
    assert torch.equal(mixed(found, 0.25, thick=False), missing + 0.25 * (anatomy - missing))
    little, all_of_it = (mixed(found, w)[0, 1] > 0.5 for w in (0.25, 1.0))
    assert little[5, 5, 7:11].all()
    assert not little[5, 5, 1]
    np.testing.assert_array_equal(all_of_it, anatomy[0, 1] > 0.5)


def test_where_both_agree_no_voxel_changes_at_all():
    soft = maps(BODY) + 0.01 * torch.rand(1, 1, 10, 14, 14)

    found = proposal(soft, soft)

    assert torch.equal(found.mended, soft)
    assert not found.change.any()
