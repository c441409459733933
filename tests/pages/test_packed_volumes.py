"""Packed volumes: what comes back, how small they are, and what is black and white."""

import base64
import zlib

import numpy as np
import pytest

from acnn_nnunet.pages.packed_volumes import intensity_range, pack_volume, quantise, strides_of


def unpacked(packed):
    """Return the values (Z, Y, X), uint8, as the browser does."""
    values = np.frombuffer(zlib.decompress(base64.b64decode(packed.data)), np.uint8).reshape(packed.shape)
    for axis in packed.axes:
        values = np.cumsum(values, axis=axis, dtype=np.uint8)
    return values


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 4), (3, 4, 5), (4, 1, 1)])
def test_what_is_packed_comes_back(shape):
    values = noise(shape)
    packed = pack_volume(values, (3.0, 2.0, 1.0), (0.5, 0.0, -1.0))

    np.testing.assert_array_equal(unpacked(packed), values)
    assert (packed.shape, packed.spacing_mm, packed.offset_mm) == (shape, (3.0, 2.0, 1.0), (0.5, 0.0, -1.0))


def test_differences_along_axes_modulo_256():
    ramp = np.add.outer(np.arange(40) * 7, np.add.outer(np.arange(50) * 3, np.arange(60) * 11)).astype(np.uint8)
    packed = pack_volume(ramp, (1.0, 1.0, 1.0))

    np.testing.assert_array_equal(unpacked(packed), ramp)
    assert packed.axes
    assert len(packed.data) < len(zlib.compress(ramp.tobytes(), 9)) / 5
    first = np.frombuffer(zlib.decompress(base64.b64decode(packed.data)), np.uint8)[0]
    assert first == 0  # of the first voxel there is nothing to subtract


def test_voxels_are_left_out_where_they_lie_closer_than_the_resolution():
    values = noise((4, 9, 10))
    packed = pack_volume(values, (8.0, 1.0, 1.0), resolution_mm=3.0)

    assert strides_of(values.shape, (8.0, 1.0, 1.0), 3.0) == [1, 3, 3]
    np.testing.assert_array_equal(unpacked(packed), values[:, 1::3, 1::3])  # the middle of each three
    assert packed.spacing_mm == (8.0, 3.0, 3.0)


def test_a_few_bright_voxels_darken_nothing():
    values = np.arange(10_000, dtype=float)
    values[-5:] = 1e6

    low, high = intensity_range([values])
    assert low == pytest.approx(10, abs=1)
    assert high == pytest.approx(9989, abs=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([]), (0.0, 1.0)),
        (np.array([np.nan]), (0.0, 1.0)),
        (np.full(9, 4.0), (4.0, 5.0)),
        (np.r_[np.zeros(10_000), 7.0], (0.0, 7.0)),
    ],
    ids=["empty", "nothing finite", "constant", "one voxel"],
)
def test_ranges_of_what_has_hardly_one(values, expected):
    assert intensity_range([values]) == expected


def test_grey_values():
    values = np.array([-1.0, 0.0, 5.0, 10.0, 11.0, np.nan, np.inf])

    assert quantise(values, (0.0, 10.0)).tolist() == [0, 0, 128, 255, 255, 0, 255]
    assert quantise(values, (0.0, 10.0), levels=4).tolist() == [0, 0, 128, 192, 192, 0, 192]
