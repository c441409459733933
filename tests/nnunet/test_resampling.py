"""Label maps at a configuration's spacing."""

import numpy as np
import pytest
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

from acnn_nnunet.nnunet.resampling import resample_labels, spacings_mm


class Plans:
    transpose_forward = (2, 0, 1)


class Configuration:
    def __init__(self, *spacing):
        self.spacing = spacing

    @staticmethod
    def resampling_fn_seg(segmentation, shape, current, target):
        return resample_data_or_seg_to_shape(segmentation, shape, current, target, is_seg=True, order=1)


@pytest.mark.parametrize(("spacing", "target"), [((4, 5, 6), [4, 5, 6]), ((5, 6), [3, 5, 6])])
def test_a_configuration_in_2d_leaves_the_spacing_between_slices_alone(spacing, target):
    assert spacings_mm((1, 2, 3), Plans, Configuration(*spacing)) == ([3, 1, 2], target)


def test_axes_are_transposed_and_half_the_spacing_doubles_the_voxels():
    values = np.zeros((2, 4, 6), dtype=np.uint8)
    values[:, :, 3:] = 2

    labels = resample_labels(values, (1.0, 2.0, 4.0), Plans, Configuration(2.0, 1.0, 2.0))

    assert labels.shape == (1, 12, 2, 4)
    assert (labels[0, :6] == 0).all()
    assert (labels[0, 6:] == 2).all()
