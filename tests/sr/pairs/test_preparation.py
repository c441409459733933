"""Pairs made by a known motion are, as data, what simulation makes."""

import json

import numpy as np
import pytest
import torch
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from real_pairs import FACTOR, known_motion, phantom

from acnn_nnunet.files.volumes import Volume, read_volume, write_volume
from acnn_nnunet.sr.degradation.acquisition import Acquisition, acquire
from acnn_nnunet.sr.pairs.grids import RigidMotion
from acnn_nnunet.sr.pairs.preparation import class_locations, misalignment_mm, prepare_pair, read_pair
from acnn_nnunet.sr.training.stack_units import StackUnits

SHIFT = {"degrees": (3.0, -5.0, 8.0), "shift_mm": (4.0, -3.0, 2.0)}


def simulated(place, files):
    """What training without pairs makes of the case: the host's preprocessed image and labels, and their stack."""
    model = place.model()
    image, labels = read_volume(files.image[0]), read_volume(files.labels)
    data, segmentation, _ = DefaultPreprocessor(verbose=False).run_case_npy(
        image.values[None],
        labels.values[None].astype(np.int16),
        {"spacing": list(image.geometry.spacing_mm)},
        model.bundle.plans,
        model.bundle.configuration,
        model.bundle.dataset_json,
    )
    units = StackUnits(lambda _: (data, segmentation), model.bundle.configuration, model.through_plane)
    hr = torch.from_numpy(data)[None]
    scale, offset = units.of(["a"], like=hr)
    stack = (acquire(hr, Acquisition(FACTOR), (1.0, 1.0, 1.0), axis=0) - offset) / scale
    return data, segmentation, stack[0].numpy(), float(scale), float(offset)


@pytest.mark.parametrize("moved", [False, True])
def test_a_pair_by_a_known_motion_equals_the_simulated_stack(place, moved):
    image, _ = phantom()
    motion = known_motion(image, **SHIFT) if moved else RigidMotion()
    files = place.add("a", motion=motion if moved else None)
    model = place.model()
    pair = read_pair(files, model)
    prepared = prepare_pair(pair, motion, model)
    data, segmentation, stack, scale, offset = simulated(place, files)
    assert prepared.image.shape == data.shape
    np.testing.assert_allclose(prepared.stack, stack, atol=1e-4)
    np.testing.assert_allclose(prepared.image, data, atol=1e-3)
    assert np.array_equal(prepared.labels, segmentation)
    assert (prepared.scale[0], prepared.offset[0]) == pytest.approx((scale, offset), abs=1e-3)
    assert misalignment_mm(prepared, None, model) < 0.06  # a twentieth of a pixel


def test_by_the_headers_alone_a_moved_pair_is_off(place):
    motion = known_motion(phantom()[0], degrees=(0.0, 0.0, 0.0), shift_mm=(2.0, 0.0, 0.0))
    pair = read_pair(place.add("a", motion=motion), place.model())
    prepared = prepare_pair(pair, RigidMotion(), place.model())
    assert misalignment_mm(prepared, None, place.model()) == pytest.approx(2, abs=0.4)


def test_slices_and_rims_that_the_image_does_not_cover_are_left_out(place):
    files = place.add("a")
    image, labels = read_volume(files.image[0]), read_volume(files.labels)
    for path, volume in ((files.image[0], image), (files.labels, labels)):
        part = volume.values[: 3 * FACTOR, :, :15]
        geometry = Volume(part, volume.geometry.__class__(part.shape, *list(volume.geometry.__dict__.values())[1:4]))
        write_volume(path, geometry)
    prepared = prepare_pair(read_pair(files, place.model()), RigidMotion(), place.model())
    assert prepared.stack.shape == (1, 3, 20, 15)
    assert prepared.labels.shape == (1, 3 * FACTOR, 20, 15)
    assert prepared.labels.min() == 0


def test_one_covered_slice_is_no_pair(place):
    files = place.add("a")
    for path in (files.image[0], files.labels):
        volume = read_volume(path)
        part = volume.values[: FACTOR + 2]
        grid = volume.geometry.__class__(part.shape, *list(volume.geometry.__dict__.values())[1:4])
        write_volume(path, Volume(part, grid))
    pair = read_pair(files, place.model())
    with pytest.raises(ValueError, match="has 1 of its slices inside the HR image: a pair has at least 2"):
        prepare_pair(pair, RigidMotion(), place.model())


def test_classes_are_located_as_the_host_does(place):
    files = place.add("a")
    prepared = prepare_pair(read_pair(files, place.model()), RigidMotion(), place.model())
    found = class_locations(prepared.labels, place.model())
    assert set(found) == {1, 2}
    assert all(prepared.labels[tuple(at)] == 2 for at in found[2])


@pytest.mark.parametrize(
    ("sidecar", "message"),
    [
        ({"SpacingBetweenSlices": 5.0}, "a slice every 4 mm by its header and every 5 mm by a_0000.json"),
        ({"SliceThickness": 9.0}, "has slices of 9 mm, more than twice their spacing of 4 mm"),
        ({"SliceThickness": "thick"}, "a_0000.json says SliceThickness is 'thick': a length in mm is wanted"),
    ],
)
def test_what_the_sidecar_says_is_checked(place, sidecar, message):
    files = place.add("a")
    files.stack[0].with_name("a_0000.json").write_text(json.dumps(sidecar))
    with pytest.raises(ValueError, match=message):
        read_pair(files, place.model())


def test_labels_on_another_grid(place):
    files = place.add("a")
    labels = read_volume(files.labels)
    write_volume(files.labels, Volume(labels.values[:20], place_of(labels, 20)))
    with pytest.raises(ValueError, match=r"gt_segmentations/a\.nii\.gz is not on the grid of a_0000\.nii\.gz: size"):
        read_pair(files, place.model())


@pytest.mark.parametrize("half", ["stack", "image"])
def test_an_image_of_one_value(place, half):
    files = place.add("a")
    path = getattr(files, half)[0]
    volume = read_volume(path)
    write_volume(path, Volume(np.full_like(volume.values, 7), volume.geometry))
    with pytest.raises(ValueError, match=f"{path} has one value in all voxels: replace it, or remove the stack"):
        read_pair(files, place.model())


def place_of(volume, slices):
    grid = volume.geometry
    return grid.__class__((slices, *grid.size[1:]), grid.spacing_mm, grid.origin_mm, grid.direction)
