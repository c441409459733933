"""The box that is fitted to a fold's anatomy."""

import numpy as np
import pytest

from acnn_nnunet.shape_prior.grids.roi_box import fit_box

# 95th percentile of 0, 1, … 100 is 95.
LENGTHS = np.arange(101.0)


def test_lengths_become_voxels_rounded_up_to_multiples_of_four():
    extents = np.stack([LENGTHS, LENGTHS / 2, LENGTHS / 19], 1)  # 95, 47.5 and 5 mm
    box = fit_box(extents, margin=1.2, spacing_mm=(2.0, 1.0, 1.0), most_voxels=10**9)
    # 114 mm / 2 mm = 57 to 60; 57 mm to 60; 6 mm to 6, which is short and stays.
    assert box.size == (60, 60, 6)
    assert box.spacing_mm == (2.0, 1.0, 1.0)


def test_what_fits_exactly_is_not_rounded_up():
    assert fit_box(np.full((5, 2), 28.0), margin=1.0, spacing_mm=(0.7, 1.4), most_voxels=10**9).size == (40, 20)


def test_too_many_voxels_grow_all_alike():
    extents = np.full((3, 3), 100.0)
    box = fit_box(extents, margin=1.0, spacing_mm=(1.0, 1.0, 2.0), most_voxels=50_000)
    assert np.prod(box.size) <= 50_000
    assert box.spacing_mm[0] == box.spacing_mm[1] == box.spacing_mm[2] / 2
    assert all(n * s >= 100 for n, s in zip(box.size, box.spacing_mm, strict=True))
    # Half of 50 000 mm³ a voxel would do for 40 voxels' roundings: it is no coarser than it must be.
    finer = fit_box(extents, margin=1.0, spacing_mm=tuple(s * 0.9 for s in box.spacing_mm), most_voxels=10**9)
    assert np.prod(finer.size) > 50_000


def test_no_anatomy_has_no_box():
    with pytest.raises(ValueError, match="no anatomy"):
        fit_box(np.empty((0, 3)), margin=1.1, spacing_mm=(1.0, 1.0, 1.0), most_voxels=1000)
