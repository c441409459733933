"""Cases of a study: bad folders and files first, then where an input lies."""

import numpy as np
import pytest
import SimpleITK
from reader_studies import SHAPE, picture, write_image, write_images

from acnn_nnunet.evaluation.reading.study.cases import StudyFolders, find_cases, read_case
from acnn_nnunet.files.headers import ImageFileError


@pytest.fixture
def folders(tmp_path):
    return write_images(tmp_path)


def study(folders, **options):
    return StudyFolders({"A": folders["linear"], "B": folders["learnt"]}, folders["hr"], **options)


def read_first(folders, **options):
    return read_case(find_cases(study(folders, **options))[0])


@pytest.mark.parametrize(("lacking", "words"), [("linear", r"\(A\) lacks case1, which B"), ("learnt", r"\(B\) lacks")])
def test_arms_with_different_cases(folders, lacking, words):
    (folders[lacking] / "case1.nii.gz").unlink()

    with pytest.raises(ValueError, match=rf"The arms have different cases: .*{words}"):
        find_cases(study(folders))


def test_a_reference_or_an_input_that_lacks_a_case(folders):
    (folders["hr"] / "case1.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"hr has no reference of case1: each case"):
        find_cases(study(folders))
    write_image(folders["hr"] / "case1.nii.gz", picture())
    for path in folders["lr"].iterdir():
        path.unlink()
    write_image(folders["lr"] / "else.nii.gz", picture())
    with pytest.raises(ValueError, match=r"lr has no input of case0 and 1 more"):
        find_cases(study(folders, inputs=folders["lr"]))


def test_a_reference_may_have_more_cases_and_files_may_end_in_their_channel(folders):
    write_image(folders["hr"] / "more.nii.gz", picture())
    for path in list(folders["linear"].iterdir()):
        path.rename(path.with_name(path.name.replace(".nii", "_0000.nii")))

    assert [each.case for each in find_cases(study(folders))] == ["case0", "case1"]


def test_arms_on_another_grid(folders):
    write_image(folders["learnt"] / "case0.nii.gz", picture(), spacing=(2.0, 1.0, 1.5))

    with pytest.raises(ValueError, match=r"learnt/case0\.nii\.gz lies on another grid than .*hr/case0.*: spacing"):
        read_first(folders)


@pytest.mark.parametrize("change", [lambda image: image / 1000, lambda image: image + 500, lambda image: image * 3])
def test_arms_in_another_range_of_intensities(folders, change):
    write_image(folders["learnt"] / "case0.nii.gz", change(picture(1)).astype(np.float32))

    with pytest.raises(ValueError, match=r"learnt/case0\.nii\.gz \(B\) has intensities from .*, A from .*brightness"):
        read_first(folders)


def test_reference_and_input_may_have_another_range(folders):
    write_image(folders["hr"] / "case0.nii.gz", picture() * 100)
    write_image(folders["lr"] / "case0.nii.gz", picture(shape=(3, *SHAPE[1:])) / 100, spacing=(4.0, 1.0, 1.0))

    assert read_first(folders, inputs=folders["lr"]).inputs.values.shape == (3, *SHAPE[1:])


def test_two_axes_are_refused_in_one_sentence(folders):
    flat = SimpleITK.GetImageFromArray(picture()[0])
    for name in ("linear", "learnt", "hr"):
        SimpleITK.WriteImage(flat, str(folders[name] / "case0.nii.gz"))

    with pytest.raises(ImageFileError, match=r"case0\.nii\.gz has 2 axes \(16, 20\): one volume of three axes"):
        read_first(folders)


def test_label_maps_want_an_image_and_images_are_no_label_maps(folders):
    for name in ("linear", "learnt", "hr"):
        write_image(folders[name] / "case0.nii.gz", (picture() > 100).astype(np.uint8))
    with pytest.raises(ValueError, match=r"seem to be label maps: give the images below them with --images"):
        read_first(folders)
    write_image(folders["learnt"] / "case0.nii.gz", picture())
    with pytest.raises(ValueError, match=r"learnt/case0\.nii\.gz holds fractions: with --images"):
        read_first(folders, images=folders["lr"])


def test_an_image_below_labels_lies_on_their_grid(folders):
    for name in ("linear", "learnt", "hr"):
        write_image(folders[name] / "case0.nii.gz", (picture() > 100).astype(np.float32))
    with pytest.raises(ValueError, match=r"lr/case0\.nii\.gz lies on another grid"):
        read_first(folders, images=folders["lr"])
    write_image(folders["lr"] / "case0.nii.gz", picture())
    case = read_first(folders, images=folders["lr"])
    assert case.arms["A"].dtype.kind == "i"
    np.testing.assert_array_equal(case.image.values, picture())


def test_where_a_thick_slice_begins(folders):
    case = read_first(folders, inputs=folders["lr"])

    # Its centre lies at 1 mm, its thickness is 4 mm: from −1 mm, where the first thin slice of 2 mm at 0 begins too.
    assert case.inputs_offset_mm == (0.0, 0.0, 0.0)


def test_where_an_input_lies_along_turned_axes(folders):
    # The array's z runs along the world's −x.
    direction = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    for name in ("linear", "learnt", "hr"):
        write_image(folders[name] / "case0.nii.gz", picture(len(name)), direction=direction)
    inputs = picture(shape=(3, *SHAPE[1:]))
    place = {"spacing": (4.0, 1.0, 1.0), "direction": direction}
    write_image(folders["lr"] / "case0.nii.gz", inputs, origin=(-3.0, 0.0, 0.0), **place)

    # 3 mm further along z, and half a slice of 4 mm less half of one of 2 mm before its centre.
    assert read_first(folders, inputs=folders["lr"]).inputs_offset_mm == pytest.approx((2.0, 0.0, 0.0))
    write_image(folders["lr"] / "case0.nii.gz", inputs, origin=(30.0, 0.0, 0.0), **place)
    with pytest.raises(ValueError, match=r"lies elsewhere than .*no voxel in common"):
        read_first(folders, inputs=folders["lr"])
    write_image(folders["lr"] / "case0.nii.gz", inputs)
    with pytest.raises(ValueError, match=r"has other axes than"):
        read_first(folders, inputs=folders["lr"])
