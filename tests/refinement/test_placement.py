"""A grid in an image: where it lies, and that maps come back from it where they were."""

import numpy as np
import pytest
import torch

from acnn_nnunet.refinement.placement import place_grid


def mask(shape=(10, 20, 20), box=((4, 7), (6, 12), (8, 16))):
    values = np.zeros(shape, dtype=bool)
    values[tuple(slice(*each) for each in box)] = True
    return values


def place(values, *, kind="roi", size=(8, 12, 12), spacing_mm=(1.0, 1.0, 1.0), grid_mm=(1.0, 1.0, 1.0)):
    return place_grid(values, spacing_mm, kind=kind, size=size, grid_spacing_mm=grid_mm)


def test_a_single_voxel_at_the_edge_has_a_grid():
    values = mask(box=((0, 1), (0, 1), (0, 1)))

    placement = place(values)

    assert placement.fits
    assert placement.box[0].start == 0
    maps = placement.onto_grid(torch.ones(1, 1, *(b.stop - b.start for b in placement.box)), beyond=(0.0,))
    assert maps.shape == (1, 1, 8, 12, 12)
    # 4 of 8 and 6 of 12 voxels lie before the anatomy's own: the box begins on a voxel, half a voxel up.
    assert maps.sum() == pytest.approx(5 * 7 * 7)


def test_voxels_of_equal_size_are_a_crop_around_the_middle():
    # Middle of 4…6 is 5, of 6…11 8.5, of 8…15 11.5; a grid of n begins (n − 1) / 2 before, rounded half up.
    placement = place(mask())
    values = torch.arange(10 * 20 * 20).float().view(10, 20, 20)

    on_grid = placement.onto_grid(values[placement.box][None, None], beyond=(-1.0,))[0, 0]

    expected = torch.nn.functional.pad(values, (8, 8, 8, 8, 8, 8), value=-1.0)
    starts = [2 + 8, 3 + 8, 6 + 8]  # 1.5, 3 and 6
    assert torch.equal(on_grid, expected[tuple(slice(s, s + n) for s, n in zip(starts, (8, 12, 12), strict=True))])


@pytest.mark.parametrize("spacing", [1.0, 0.6, 1.7])
def test_a_smooth_map_comes_back(spacing):
    values = mask((30, 40, 40), ((10, 18), (12, 24), (14, 26)))
    placement = place(values, size=(40, 48, 48), spacing_mm=(1.0,) * 3, grid_mm=(spacing,) * 3)
    ramp = torch.linspace(0, 1, 30)[:, None, None].expand(30, 40, 40)
    box = ramp[placement.box][None, None]

    back = placement.onto_box(placement.onto_grid(box, beyond=(0.0,)), beyond=(0.0,))

    inner = (..., slice(6, -6), slice(6, -6), slice(6, -6))
    torch.testing.assert_close(back[inner], box[inner], atol=0.02, rtol=0)


@pytest.mark.parametrize(("length", "fits"), [(8, True), (12, False)])
def test_an_anatomy_longer_than_the_grid_does_not_fit(length, fits):
    assert place(mask((16, 20, 20), ((2, 2 + length), (6, 12), (8, 16)))).fits is fits


def test_a_patch_lies_in_the_middle_of_an_image_that_it_holds():
    placement = place(mask(box=((0, 2), (0, 2), (0, 2))), kind="patch", size=(12, 24, 24))

    maps = placement.onto_grid(torch.ones(1, 1, 10, 20, 20), beyond=(0.0,))

    assert placement.box == (slice(0, 10), slice(0, 20), slice(0, 20))
    assert maps[0, 0, 1:11, 2:22, 2:22].min() == 1
    assert maps.sum() == 10 * 20 * 20
