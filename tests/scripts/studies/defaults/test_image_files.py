"""`scripts/studies/defaults/image_files.py`: test images as files on their own grid, each with its label map."""

from types import SimpleNamespace

import numpy as np
import SimpleITK

from scripts.studies.defaults.image_files import FILE_KINDS, write_test_files


def test_every_kind_is_a_file_on_the_images_grid(tmp_path):
    values = np.random.default_rng(0).normal(10, 2, (6, 12, 12)).astype(np.float32)
    label = np.zeros(values.shape, np.uint8)
    label[1:5, 3:9, 3:9] = 1
    for folder, name, array in (("imagesTr", "a_0000", values), ("labelsTr", "a", label)):
        (tmp_path / folder).mkdir()
        image = SimpleITK.GetImageFromArray(array)
        image.SetSpacing((1.0, 1.0, 4.0))
        SimpleITK.WriteImage(image, str(tmp_path / folder / f"{name}.nii.gz"))
    place = SimpleNamespace(raw=tmp_path, test=tmp_path / "test", study=SimpleNamespace(motion_mm=2.0))

    write_test_files(place, "a")

    for kind in FILE_KINDS:
        written = SimpleITK.ReadImage(str(place.test / "images" / f"a__{kind}_0000.nii.gz"))
        assert written.GetSpacing() == (1.0, 1.0, 4.0)
        assert np.array_equal(SimpleITK.GetArrayFromImage(written), values) == (kind == "clean")
        of_kind = SimpleITK.ReadImage(str(place.test / "labels" / f"a__{kind}.nii.gz"))
        assert np.array_equal(SimpleITK.GetArrayFromImage(of_kind), label)
    assert len(list((place.test / "images").iterdir())) == len(FILE_KINDS) == 7
