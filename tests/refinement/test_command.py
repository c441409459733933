"""A second stage in 2D; tests/trainers/test_ae_seg_trainer.py has it in 3D, after a training."""

import numpy as np
import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from phantom_prior import phantom_plans

from acnn_nnunet.refinement.command import Refiner

SPACING_MM = (15.0, 3.0, 3.0)
DATASET_JSON = {"labels": {"background": 0, "a": 1, "b": 2}, "channel_names": {"0": "MRI"}, "file_ending": ".nii.gz"}


class FillsSlices(torch.nn.Module):
    """Gives label b to every voxel of a slice that holds it anywhere, and leaves other slices as they are."""

    def forward(self, maps):
        assert maps.ndim == 4  # (slices, classes, Y, X)
        filled = maps[:, 2].amax((1, 2), keepdim=True).expand_as(maps[:, 2])
        return torch.stack([maps[:, 0], maps[:, 1], 3 * filled], dim=1)


@pytest.mark.parametrize("spacing_mm", [(3.0, 3.0), (1.5, 1.5)])
def test_a_network_in_2d_sees_slice_by_slice(spacing_mm):
    plans = PlansManager(phantom_plans("Dataset099_Phantom", (16, 16), spacing_mm, (0, 1, 2), grid="patch"))
    refiner = Refiner(FillsSlices(), plans, plans.get_configuration("quick"), DATASET_JSON, "cpu")
    labels = np.zeros((3, 12, 12), dtype=np.uint8)
    labels[0, 2:6] = 1
    labels[1, 4:8, 4:8] = 2

    refined = refiner.refine(labels, SPACING_MM)

    assert refined.shape == labels.shape
    np.testing.assert_array_equal(refined[[0, 2]], labels[[0, 2]])
    assert (refined[1] == 2).all()
