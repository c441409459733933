"""Thickness of slices as headers and sidecars tell it."""

import json

import nibabel
import numpy as np
import pytest

from acnn_nnunet.sr.slice_thickness import (
    check_thickness,
    sidecar_content,
    sidecar_of,
    told_thickness_mm,
    told_thickness_of_channels_mm,
    write_sidecar,
)


@pytest.fixture
def stack(tmp_path):
    def write(description=b""):
        image = nibabel.Nifti1Image(np.zeros((4, 4, 3), np.float32), np.diag([1, 1, 10, 1]))
        image.header["descrip"] = description
        path = tmp_path / "a_0000.nii.gz"
        nibabel.save(image, path)
        return path

    return write


def test_nothing_is_told(stack):
    assert told_thickness_mm(stack(), 10) is None


@pytest.mark.parametrize(
    "text", [b"SliceThickness=8", b"TE=2; slice thickness: 8.0 mm", b"SLICETHICKNESS 8", b"Slice thickness 8.0. TE 2"]
)
def test_the_header(stack, text):
    assert told_thickness_mm(stack(text), 10) == 8


def test_channels_of_one_stack(stack):
    first = stack(b"SliceThickness=8")
    second = first.with_name("a_0001.nii.gz")
    nibabel.save(nibabel.load(first), second)
    assert told_thickness_of_channels_mm([first, second], 10) == 8
    sidecar_of(second).write_text(json.dumps({"SpacingBetweenSlices": 5}))
    with pytest.raises(ValueError, match=r"a_0001\.nii\.gz has a slice every 10 mm by its header and every 5 mm"):
        told_thickness_of_channels_mm([first, second], 10)
    stack()
    sidecar_of(second).unlink()
    assert told_thickness_of_channels_mm([first, second], 10) == 8  # the second one's
    sidecar_of(first).write_text(json.dumps({"SliceThickness": 9}))
    with pytest.raises(ValueError, match=r"a_0001\.nii\.gz has slices of 8 mm and a_0000\.nii\.gz of 9 mm, which are"):
        told_thickness_of_channels_mm([first, second], 10)


def test_a_sidecar_of_an_earlier_stack_goes(stack):
    path = stack()
    write_sidecar(path, 8, 10)
    assert told_thickness_mm(path, 10) == 8
    write_sidecar(path, None, 10)
    assert not sidecar_of(path).exists()
    sidecar_of(path).write_text(json.dumps({"SliceThickness": 8, "Manufacturer": "a scanner's"}))
    write_sidecar(path, None, 10)
    assert sidecar_of(path).exists()


def test_the_sidecar(stack):
    path = stack()
    assert sidecar_of(path).name == "a_0000.json"
    sidecar_of(path).write_text(json.dumps(sidecar_content(8, 10)))
    assert json.loads(sidecar_of(path).read_text()) == {"SliceThickness": 8, "SpacingBetweenSlices": 10}
    assert told_thickness_mm(path, 10.05) == 8


@pytest.mark.parametrize(
    ("header", "sidecar", "message"),
    [
        (b"", {"SpacingBetweenSlices": 8}, "a slice every 10 mm by its header and every 8 mm by a_0000.json"),
        (b"SliceThickness=9", {"SliceThickness": 8}, "slices of 9 mm by its header and of 8 mm by a_0000.json"),
        (b"SliceThickness=21", {}, "has slices of 21 mm, more than twice their spacing of 10 mm"),
        (b"", {"SliceThickness": 21}, "has slices of 21 mm, more than twice their spacing of 10 mm"),
        (b"", {"SliceThickness": -1}, r"a_0000\.json says SliceThickness is -1: a length in mm"),
        (b"", {"SliceThickness": True}, "SliceThickness is True"),
        (b"", [8], "holds no JSON object: mend or remove it"),
        (b"", "", r"a_0000\.json is no JSON"),
    ],
)
def test_what_cannot_be(stack, header, sidecar, message):
    path = stack(header)
    sidecar_of(path).write_text(sidecar if sidecar == "" else json.dumps(sidecar))
    with pytest.raises(ValueError, match=message):
        told_thickness_mm(path, 10)


def test_overlapping_slices_may_be_twice_as_thick():
    check_thickness(20, 10, what="x")
    with pytest.raises(ValueError, match=r"x 20\.5 mm, more than twice their spacing of 10 mm"):
        check_thickness(20.5, 10, what="x")
