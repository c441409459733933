"""Which way round volumes lie, and which files a prior refuses for it."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everyone writes it

from acnn_nnunet.fold_prior.layout import Layout, common_orientation, orientation_of

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


def layout(**changes) -> Layout:
    """Volumes whose files have their thick slices along the second axis, which the plans put first."""
    fields = {"axes": 3, "transpose": (1, 0, 2), "spacing_mm": (10.0, 1.0, 1.0), "orientation": "LPS"}
    return Layout("Dataset005_Toy", **{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "shape", "spacing_mm", "direction", "message"),
    [
        ({}, (4, 4, 4), (1.0, 10.0, 1.0), LPS, None),
        (
            {},
            (4, 4, 4),
            (10.0, 1.0, 1.0),
            LPS,
            r"thick slices along another axis .*\(1, 10, 1 mm, theirs",
        ),
        ({}, (4, 4, 4), (2.0, 1.0, 1.0), LPS, None),  # near enough to cubes
        ({"spacing_mm": None}, (4, 4, 4), (10.0, 1.0, 1.0), LPS, None),
        (
            {},
            (4, 4, 4),
            (1.0, 10.0, 1.0),
            RAS,
            r"a\.nii lies RAS, .* cases of Dataset005_Toy lie LPS",
        ),
        ({}, (4, 4, 4), (1.0, 10.0, 1.0), None, None),
        ({"orientation": None}, (4, 4, 4), (1.0, 10.0, 1.0), RAS, None),
        ({}, (4, 4), (999.0, 1.0, 1.0), None, r"a\.nii has one slice, the prior of Dataset005_Toy is of volumes"),
        ({}, (1, 4, 4), (999.0, 1.0, 1.0), None, "has one slice"),
        ({"axes": 2}, (1, 4, 4), (999.0, 1.0, 1.0), None, None),
    ],
)
def test_what_lies_another_way_is_refused(changes, shape, spacing_mm, direction, message):
    def check():
        layout(**changes).check(Path("a.nii"), shape, spacing_mm, None if direction is None else direction.ravel())

    if message is None:
        check()
    else:
        with pytest.raises(ValueError, match=message):
            check()
