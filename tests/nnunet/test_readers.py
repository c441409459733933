"""The host's reader of a file: by its ending, by what the dataset asks for, by what can be read."""

import subprocess
import sys

import numpy as np
import pytest
import tifffile
from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

from acnn_nnunet.nnunet.readers import choose_reader, find_file_ending, reader_class


def test_a_damaged_first_file_does_not_choose_the_reader(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((5, 6, 7), np.uint8))

    assert choose_reader(".tif", examples=[tmp_path / "a.tif", tmp_path / "b.tif"]) == "Tiff3DIO"


def test_a_tif_of_four_slices_is_no_picture_of_four_colours(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 6, 7), np.uint8), photometric="minisblack")
    tifffile.imwrite(tmp_path / "flat.tif", np.zeros((6, 7), np.uint8))

    assert choose_reader(".tif", examples=[tmp_path / "a.tif"]) == "Tiff3DIO"
    assert choose_reader(".tif", examples=[tmp_path / "flat.tif"]) == "NaturalImage2DIO"


def test_the_reader_that_the_dataset_asks_for(tmp_path):
    assert choose_reader(".nii.gz", asked_for="NibabelIO") == "NibabelIO"
    assert choose_reader(".nii.gz", asked_for="None") == "SimpleITKIO"
    with pytest.raises(ValueError, match="names the reader NoIO, which nnU-Net does not have: it has "):
        choose_reader(".nii.gz", asked_for="NoIO")


def test_the_usual_reader_is_the_hosts_first_for_all_of_its_endings():
    for ending in SimpleITKIO.supported_file_endings:
        first = next(reader for reader in LIST_OF_IO_CLASSES if ending in reader.supported_file_endings)

        assert first is SimpleITKIO
        assert choose_reader(ending) == "SimpleITKIO"
    assert reader_class("SimpleITKIO") is SimpleITKIO


def test_the_usual_reader_is_found_without_the_others():
    code = (
        "import sys; from acnn_nnunet.nnunet.readers import choose_reader, reader_class; choose_reader('.nii.gz'); "
        "reader_class('SimpleITKIO'); print('skimage' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]


def test_an_unknown_reader_is_blamed_on_the_file_that_names_it(tmp_path):
    file = tmp_path / "dataset.json"
    with pytest.raises(ValueError, match=rf"^{file} names the reader NoIO, which nnU-Net does not have: it has "):
        choose_reader(".nii.gz", asked_for="NoIO", asked_in=file)


def test_an_ending_that_the_host_does_not_read():
    with pytest.raises(ValueError, match=r"nnU-Net reads no \.jpg; it reads .*\.mha.*\.nii\.gz"):
        choose_reader(".jpg")


def test_the_ending_of_a_folder(tmp_path):
    found = [tmp_path / name for name in ("a.nii.gz", "b.nii.gz", "notes.txt", "dataset.json")]

    assert find_file_ending(found, tmp_path) == ".nii.gz"
    with pytest.raises(ValueError, match=r"files of several formats \(\.mha, \.nii\.gz\)"):
        find_file_ending([*found, tmp_path / "c.mha"], tmp_path)
    with pytest.raises(ValueError, match="no file that nnU-Net reads"):
        find_file_ending(found[2:], tmp_path)
    with pytest.raises(ValueError, match="no file that nnU-Net reads"):
        find_file_ending([], tmp_path)
