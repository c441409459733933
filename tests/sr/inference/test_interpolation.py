"""The baselines on files; images are compared in the world in test_degrade_folder.py."""

import numpy as np
import pytest
import SimpleITK
from scipy.interpolate import CubicSpline
from stack_files import image_of, read, write

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.sr.inference.interpolation import InterpolationOptions, interpolate_folder, interpolate_labels

# Along a line: label 7 and then label 300, beside a background.
LINE = [0, 7, 7, 300]


def test_labels_change_half_way():
    labels = np.array(LINE, np.float32).repeat(4).reshape(4, 2, 2)
    for method in ("linear", "bspline"):
        result = interpolate_labels(labels, 4, axis=0, method=method)
        assert result.dtype == np.uint16
        assert result[:, 1, 1].tolist() == [0] * 4 + [7] * 8 + [300] * 4


def test_of_equal_shares_the_lower_label_wins():
    # K = 3: the middle of three slices between 0 and 2 would need an even K; here the ends decide: K·k + 1.
    labels = np.array([0, 2], np.float32).reshape(2, 1, 1)
    assert interpolate_labels(labels, 3, axis=0, method="linear").ravel().tolist() == [0, 0, 0, 2, 2, 2]


def test_three_labels_that_meet_are_not_averaged():
    labels = np.array([1, 3], np.float32).reshape(1, 1, 2)
    assert set(interpolate_labels(labels, 8, axis=2, method="linear").ravel().tolist()) == {1, 3}


def test_label_files(tmp_path):
    labels = np.array([0, 1, 2], np.uint8).repeat(4).reshape(3, 2, 2)
    write(image_of(labels, spacing=(1, 1, 6)), tmp_path / "lr" / "a.nii.gz")
    outcome = interpolate_folder(tmp_path / "lr", tmp_path / "hr", InterpolationOptions("linear", 2, labels=True))
    assert outcome.text == f"{tmp_path / 'hr'}: 1 of 1 done"
    image = read(tmp_path / "hr" / "a.nii.gz")
    assert image.GetPixelIDValue() == SimpleITK.sitkUInt8
    assert SimpleITK.GetArrayFromImage(image)[:, 0, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert image.GetSpacing() == (1, 1, 3)


def test_the_bspline_of_an_image(tmp_path):
    values = np.random.default_rng(0).random((6, 2, 2), dtype=np.float32)
    write(image_of(values, spacing=(1, 1, 6)), tmp_path / "lr" / "a_0000.nii.gz")
    assert interpolate_folder(tmp_path / "lr", tmp_path / "hr", InterpolationOptions("bspline", 3)).complete
    repeated = np.pad(values, [(30, 30), (0, 0), (0, 0)], mode="edge")
    expected = CubicSpline(np.arange(-30, 36), repeated)((np.arange(18) - 1) / 3)
    found = SimpleITK.GetArrayFromImage(read(tmp_path / "hr" / "a_0000.nii.gz"))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_is_there_is_kept(tmp_path):
    for name in ("a", "b"):
        write(image_of(np.ones((2, 2, 2), np.float32)), tmp_path / "lr" / f"{name}.nii.gz")
    (tmp_path / "hr").mkdir()
    (tmp_path / "hr" / "a.nii.gz").write_text("there")
    outcome = interpolate_folder(
        tmp_path / "lr", tmp_path / "hr", InterpolationOptions("linear", 2, execution=Execution(go_on=True))
    )
    assert outcome.complete
    assert outcome.text == f"{tmp_path / 'hr'}: 2 of 2 done; 1 were there already"
    assert (tmp_path / "hr" / "a.nii.gz").read_text() == "there"


def test_files_that_cannot_be_interpolated(tmp_path):
    write(image_of(np.ones((1, 2, 2), np.float32), spacing=(1, 1, 5)), tmp_path / "lr" / "flat.nii.gz")
    write(image_of(np.full((2, 2, 2), 0.5, np.float32)), tmp_path / "lr" / "image.nii.gz")
    write(image_of(np.ones((2, 2, 2), np.uint8)), tmp_path / "lr" / "good.nii.gz")
    write(image_of(np.ones((2, 2, 2), np.uint8)), tmp_path / "lr" / "other.mha")
    outcome = interpolate_folder(tmp_path / "lr", tmp_path / "hr", InterpolationOptions("linear", 2, labels=True))
    assert not outcome.complete
    assert outcome.text.splitlines() == [
        f"{tmp_path / 'hr'}: 1 of 4 done",
        f"{tmp_path / 'lr/flat.nii.gz'} has one slice along NIfTI axis 2: a stack has at least 2.",
        f"{tmp_path / 'lr/image.nii.gz'} is no label map (whole numbers from 0 to 65535): leave out --labels.",
        f"{tmp_path / 'lr/other.mha'} is no NIfTI file: convert it to .nii.gz, or remove it.",
    ]


def test_a_sidecar_of_another_stack(tmp_path):
    write(image_of(np.ones((2, 2, 2), np.float32), spacing=(1, 1, 4)), tmp_path / "lr" / "a_0000.nii.gz")
    (tmp_path / "lr" / "a_0000.json").write_text('{"SpacingBetweenSlices": 5}')
    outcome = interpolate_folder(tmp_path / "lr", tmp_path / "hr", InterpolationOptions("linear", 2))
    assert "has a slice every 4 mm by its header and every 5 mm by a_0000.json" in outcome.text
    assert not (tmp_path / "hr" / "a_0000.nii.gz").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "cubic"}, "there are linear, bspline"), ({"factor": 1}, "2 or more, not 1")],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        InterpolationOptions(**{"method": "linear", "factor": 2, **options})
