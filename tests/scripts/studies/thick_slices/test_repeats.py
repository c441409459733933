"""Repeated slices counted by hand."""

import sys

import numpy as np

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.volumes import Volume, write_volume
from scripts.studies.thick_slices.repeats import Repeats, count_folder, count_repeats, main

LABELS = np.zeros((6, 2, 2), np.uint8)
LABELS[1:4, 0, 0] = 1
LABELS[3, 1, 1] = 2
LABELS[5, 0, 0] = 1


def test_repeats_of_a_label_map():
    # Slices 1, 2 and 3 follow each other with foreground; 1 and 2 are the same. 5 stands alone.
    found = count_repeats(LABELS, axis=0)
    assert found == Repeats(2, 1)
    assert found.share == 0.5
    assert count_repeats(np.moveaxis(LABELS, 0, 2), axis=2) == found


def test_empty_slices_are_no_repeats():
    assert count_repeats(np.zeros((4, 2, 2), np.uint8), axis=0) == Repeats(0, 0)
    assert np.isnan(Repeats().share)


def test_a_folder(tmp_path, monkeypatch, capsys):
    geometry = Geometry((6, 2, 2), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    for case in "ab":
        write_volume(tmp_path / f"{case}.nii.gz", Volume(LABELS, geometry))
    assert count_folder(tmp_path) == {"a": Repeats(2, 1), "b": Repeats(2, 1)}
    monkeypatch.setattr(sys, "argv", ["repeats", str(tmp_path)])
    main()
    assert capsys.readouterr().out.splitlines()[-1] == f"{tmp_path}: 2 of 4 (50.0 %)"
