"""`scripts/studies/defaults/images.py`: which case is tested with what; what is written comes back."""

import json

import numpy as np
import pytest

from scripts.studies.defaults.arms import DECIDING, KINDS
from scripts.studies.defaults.images import file_of, kinds_of, read_test_images


def test_every_selection_patient_has_every_deciding_kind_once():
    units = {f"p{number}": [f"p{number}_ED", f"p{number}_ES"] for number in range(5)}

    found = kinds_of(units, "selection")

    assert all(kinds[0] == "clean" for kinds in found.values())
    for cases in units.values():
        assert sorted([*found[cases[0]], *found[cases[1]]]) == sorted([*DECIDING, "clean"])
    # Both phases occur.
    assert {case[-2:] for case, kinds in found.items() if len(kinds) > 1} == {"ED", "ES"}


def test_every_corruption_has_half_of_the_confirmation_patients():
    units = {f"c{number}": [f"c{number}"] for number in range(7)}

    found = kinds_of(units, "confirmation")

    for kind in KINDS:
        assert sum(kind in kinds for kinds in found.values()) == (7 if kind == "clean" else 4)
    assert found == kinds_of(units, "confirmation")


def test_test_images_come_back(tmp_path):
    path = file_of(tmp_path, "selection", "a")
    path.parent.mkdir(parents=True)
    data = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    np.savez(path, **{"clean": data, "clean properties": np.array(json.dumps({"spacing": [1.0, 2.0, 2.0]}))})

    (image,) = read_test_images(tmp_path)

    assert (image.part, image.case, image.kind) == ("selection", "a", "clean")
    assert np.array_equal(image.data, data)
    assert image.properties == {"spacing": [1.0, 2.0, 2.0]}


def test_a_folder_without_test_images_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="prepare"):
        next(read_test_images(tmp_path))
