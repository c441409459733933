"""Batches of stacks: factors, gaps and units drawn for them."""

import numpy as np
import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from tiny_hr_models import dataset_of, plans_of

from acnn_nnunet.nnunet.models import ModelBundle
from acnn_nnunet.sr.degradation.acquisition import Acquisition, degrade
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.pairs.batches import StackBatches
from acnn_nnunet.sr.pairs.grids import RigidMotion
from acnn_nnunet.sr.pairs.store import PairRecord
from acnn_nnunet.sr.training.stack_units import StackUnits

SPACING = (2.0, 1.0, 1.0)


def batches_of(**changes) -> StackBatches:
    manager = PlansManager(plans_of(factor=4, spacing=SPACING, normalization="NoNormalization"))
    model = HRModel(ModelBundle(manager, manager.get_configuration("3d_hr"), dataset_of(), "3d_hr"), False)
    units = StackUnits(lambda case: pytest.fail(case), model.bundle.configuration, model.through_plane)
    return StackBatches(Acquisition(4), units, SPACING, 0, 1, changes.pop("pairs", {}), **changes)


@pytest.fixture
def patches():
    return torch.rand(3, 1, 20, 6, 6)


def test_one_factor_without_gaps_is_what_degrade_makes(patches):
    made = batches_of().of(patches, ["a", "b", "c"])
    assert made.factor == 4
    torch.testing.assert_close(made.stack, degrade(patches, 4))
    assert made.image.shape == patches.shape
    assert (made.scale == 1).all()
    assert (made.offset == 0).all()


def test_factors_are_drawn_and_stacks_cover_the_patch(patches):
    batches = batches_of(factors=(3, 4, 6), strides=((1, 1, 1), (2, 2, 2)))
    seen = {}
    for _ in range(20):
        made = batches.of(patches, ["a", "b", "c"])
        seen[made.factor] = made.stack.shape[2]
    # Two slices are halved once: 20 / 3 = 6.7 → 8, 20 / 4 = 5 → 6, 20 / 6 = 3.3 → 4.
    assert seen == {3: 8, 4: 6, 6: 4}


def test_beyond_the_patch_its_last_slice_goes_on(patches):
    made = batches_of(factors=(6,)).of(patches, ["a", "b", "c"])
    padded = torch.cat([patches, *[patches[:, :, -1:]] * 4], 2)
    torch.testing.assert_close(made.stack, degrade(padded, 6))


def test_each_sample_draws_its_gap(patches):
    same = patches[:1].expand(3, -1, -1, -1, -1)
    fixed = batches_of(gap_mm=(2.0, 2.0)).of(same, ["a", "b", "c"]).stack
    torch.testing.assert_close(fixed, degrade(same, 4, thickness_voxels=3))  # 8 − 2 mm, in HR slices of 2 mm
    drawn = batches_of(gap_mm=(0.0, 4.0)).of(same, ["a", "b", "c"]).stack
    assert len({round(float(sample.std()), 6) for sample in drawn}) == 3
    # The thinner a slice, the less is averaged.
    low, high = (float(degrade(same[:1], 4, thickness_voxels=t).std()) for t in (4, 2))
    assert all(low <= float(sample.std()) <= high for sample in drawn)


def test_pairs_keep_their_slices_and_have_their_own_unit(patches):
    record = PairRecord("b", RigidMotion(), False, "", 1, 8, [2, 1, 1], None, 5, None, None, 0, 0, [2.0], [0.5])
    real = torch.arange(5.0).repeat_interleave(4).view(1, 1, 20, 1, 1).expand(3, 1, 20, 6, 6)
    made = batches_of(pairs={"b": record}).of(torch.cat([patches, real], 1), ["a", "b:lr", "c"])
    assert made.stack[1, 0, :, 0, 0].tolist() == [0, 1, 2, 3, 4]
    torch.testing.assert_close(made.stack[[0, 2]], degrade(patches, 4)[[0, 2]])
    assert made.scale.flatten().tolist() == [1, 2, 1]
    assert made.offset.flatten().tolist() == [0, 0.5, 0]
    assert torch.equal(made.image, patches)


def test_units_are_measured_for_each_form_of_slice():
    manager = PlansManager(plans_of(factor=4))
    model = HRModel(ModelBundle(manager, manager.get_configuration("3d_hr"), dataset_of(), "3d_hr"), False)
    image = np.random.default_rng(0).normal(size=(1, 24, 8, 8)).astype(np.float32)
    asked = []
    units = StackUnits(
        lambda case: asked.append(case) or (image, np.zeros_like(image)),
        model.bundle.configuration,
        model.through_plane,
    )
    like = torch.zeros(1)
    for factor, thickness in ((4, 4.0), (4, 4.05), (4, 2.0), (6, 6.0)):
        scale, _ = units.of(["a"], like=like, factor=factor, thicknesses_voxels=[thickness])
        rounded = round(4 * thickness) / 4
        expected = degrade(torch.from_numpy(image)[None], factor, thickness_voxels=rounded).numpy().std()
        assert float(scale) == pytest.approx(expected, rel=1e-4)
    assert len(asked) == 3
