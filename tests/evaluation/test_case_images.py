"""Images under label maps: where they are looked for, and why one is not shown."""

import numpy as np
import pytest
from label_folders import SHAPE, write_labels

from acnn_nnunet.evaluation.case_images import find_image, images_beside, read_image


def test_where_images_are_looked_for(tmp_path):
    for name in ("a_0000.nii.gz", "a.nii.gz", "b.nii.gz"):
        (tmp_path / name).write_bytes(b"")

    assert find_image(tmp_path, "a", ".nii.gz") == tmp_path / "a_0000.nii.gz"
    assert find_image(tmp_path, "b", ".nii.gz") == tmp_path / "b.nii.gz"
    assert find_image(tmp_path, "c", ".nii.gz") is None
    assert find_image(None, "a", ".nii.gz") is None


@pytest.mark.parametrize(("reference", "expected"), [("labelsTs", "imagesTs"), ("labelsTr", None), ("gt", None)])
def test_images_lie_next_to_labels(reference, expected, tmp_path):
    (tmp_path / "imagesTs").mkdir()

    assert images_beside(tmp_path / reference) == (None if expected is None else tmp_path / expected)


def test_an_image_has_the_shape_of_its_label_map_or_is_left_out(tmp_path):
    values = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    path = write_labels(tmp_path / "a_0000.nii.gz", values)

    image, why = read_image(path, "SimpleITKIO", SHAPE)
    assert np.array_equal(image, values)
    assert why == ""
    assert read_image(None, "SimpleITKIO", SHAPE) == (None, "")
    image, why = read_image(path, "SimpleITKIO", SHAPE[::-1])
    assert (image, why) == (None, f"; without its image: {path} has {SHAPE} voxels.")
    path.write_bytes(b"x")
    image, why = read_image(path, "SimpleITKIO", SHAPE)
    assert image is None
    assert why.startswith(f"; without its image: {path} cannot be read")
