"""Which way round volumes lie."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everyone writes it

from acnn_nnunet.fold_prior.orientations import common_orientation, orientation_of

LPS, RAS, TILTED = np.eye(3), np.diag([-1.0, -1.0, 1.0]), np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])


def write(path, direction):
    image = sitk.GetImageFromArray(np.zeros((2, 2, 2), dtype=np.uint8))
    image.SetDirection(direction.ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize(
    ("direction", "expected"),
    [(None, None), (np.eye(2), None), (LPS, "LPS"), (RAS, "RAS"), (TILTED, "LPS"), (np.eye(3)[[2, 0, 1]], "PSL")],
)
def test_direction_cosines_say_which_way_an_axis_runs(direction, expected):
    # ITK's columns are the axes: of the last, x runs along world y (posterior), y along z (superior), z along x (left).
    assert orientation_of(None if direction is None else direction.ravel()) == expected


def test_volumes_that_lie_alike_have_an_orientation_in_common(tmp_path):
    alike = [write(tmp_path / f"{n}.nii.gz", direction) for n, direction in enumerate((RAS, RAS, RAS))]
    (tmp_path / "broken.nii.gz").write_text("no image")

    assert common_orientation([]) is None
    assert common_orientation(alike) == "RAS"
    assert common_orientation([*alike, tmp_path / "broken.nii.gz"]) == "RAS"
    assert common_orientation([*alike, write(tmp_path / "lps.nii.gz", LPS)]) is None
