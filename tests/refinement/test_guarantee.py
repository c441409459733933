"""`refine --guarantee` without a prior, as it is typed."""

import csv
import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK
from short_axis import SPACING_MM, short_axis

from acnn_nnunet.cli import main
from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.refinement import command, overview
from acnn_nnunet.refinement.anatomy_refiner import Refined
from acnn_nnunet.refinement.predictions import Prediction, PredictionFiles
from acnn_nnunet.refinement.repair.volumes import Repairer


@pytest.fixture
def folder(tmp_path):
    """Three predictions: one keeps the rules, one has a hole, one is torn apart beyond the limit."""
    holed, torn = short_axis(), short_axis()
    holed[1, 20, 28] = 0
    torn[1, 10:30, 20:36:3] = 0
    folder = tmp_path / "pred"
    folder.mkdir()
    for case, values in (("good", short_axis()), ("holed", holed), ("torn", torn)):
        image = SimpleITK.GetImageFromArray(values)
        image.SetSpacing(SPACING_MM[::-1])
        SimpleITK.WriteImage(image, str(folder / f"{case}.nii.gz"))
    labels = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz"}))
    return folder


def test_every_case_keeps_the_rules_or_is_named(tmp_path, folder, capsys):
    out = tmp_path / "out"
    assert main(["refine", str(folder), "-o", str(out), "--guarantee", "acdc", "--most-changed", "0.01"]) == 0
    rows = {row["case"]: row for row in csv.DictReader((out / "refined.csv").read_text().splitlines())}
    assert {case: row["status"] for case, row in rows.items()} == {"good": "kept", "holed": "repaired", "torn": "left"}
    assert (rows["holed"]["changed_voxels"], rows["holed"]["first_slice"]) == ("1", "1")
    assert "left: torn: breaks" in capsys.readouterr().out
    read = {case: SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(out / f"{case}.nii.gz"))) for case in rows}
    np.testing.assert_array_equal(read["holed"], short_axis())
    np.testing.assert_array_equal(
        read["torn"], SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / "torn.nii.gz")))
    )
    assert "holed" in (out / "refined.html").read_text()


def test_parts_and_going_on_give_what_one_run_gives(tmp_path, folder, capsys):
    words = ["refine", str(folder), "--guarantee", "acdc", "-o"]
    assert main([*words, str(tmp_path / "one")]) == 0
    for part_id in "01":
        assert main([*words, str(tmp_path / "parts"), "-num_parts", "2", "-part_id", part_id]) == 0
    assert main(["merge", str(tmp_path / "parts")]) == 0

    names = ["refined.csv", "refined.html", "status.csv", "torn.nii.gz"]
    one, parts = ([(tmp_path / run / name).read_bytes() for name in names] for run in ("one", "parts"))
    assert one == parts
    page = one[1].decode()
    assert "the rules acdc (limit of a repair: " in page
    assert '<button type="button" class="look" data-case="holed">' in page

    (tmp_path / "one" / "torn.nii.gz").unlink()
    assert main([*words, str(tmp_path / "one"), "--continue"]) == 0
    assert [(tmp_path / "one" / name).read_bytes() for name in names] == parts


def test_going_on_with_other_rules_is_refused(tmp_path, folder, capsys):
    rules, out = tmp_path / "rules.json", tmp_path / "out"
    rules.write_text(json.dumps([{"rule": "one_piece", "label": "RV", "in_plane": True}]))
    words = ["refine", str(folder), "-o", str(out), "--guarantee", str(rules)]
    assert main(words) == 0
    rules.write_text(json.dumps([{"rule": "no_holes", "label": "LV", "in_plane": True}]))  # holed breaks it
    capsys.readouterr()

    assert main([*words, "--continue"]) == 1

    assert "holds a run with another rules" in capsys.readouterr().err
    assert main(words) == 1  # without --continue its files would be mixed with the first run's
    shutil.rmtree(out)
    assert main(words) == 0
    np.testing.assert_array_equal(
        SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(out / "holed.nii.gz"))), short_axis()
    )


def test_a_prediction_that_is_gone_when_parts_are_merged_costs_its_picture_only(tmp_path, folder):
    out = tmp_path / "out"
    assert main(["refine", str(folder), "-o", str(out), "--guarantee", "acdc"]) == 0
    before = (out / "refined.csv").read_bytes()
    (folder / "holed.nii.gz").unlink()

    assert main(["merge", str(out)]) == 0

    assert (out / "refined.csv").read_bytes() == before
    assert "holed: no picture: its files are gone" in (out / "refined.html").read_text()


def test_with_a_prior_too_the_file_says_where_the_patients_left_is(tmp_path, monkeypatch):
    """B's centre is at x = 1.5, and x leads to the left: the only voxel of A at x = 0 is B's."""
    values = np.zeros((1, 4, 8), np.uint8)
    values[:, :, 1:3], values[:, :, 5:7], values[0, 0, 0] = 2, 1, 1
    values_of_labels = {"A": (1,), "B": (2,)}
    coder = SimpleNamespace(names={1: "A", 2: "B"}, label_values=values_of_labels, bundle=None)
    refiner = SimpleNamespace(coder=coder, refine=lambda prediction: Refined(prediction.values, "refined"))
    guard = Repairer((AnatomicalRule("left_of", ("A",), ("B",)),), values_of_labels)
    written = []
    monkeypatch.setattr(command, "read_prediction", lambda *_: (Prediction(values, (1.0, 1.0, 1.0)), {}))
    monkeypatch.setattr(command, "image_grid", lambda *_: Geometry((1, 4, 8), (1.0,) * 3, left_mm=(0.0, 0.0, 1.0)))
    monkeypatch.setattr(command, "write_label_map", lambda repaired, *_: written.append(repaired))
    files = PredictionFiles(tmp_path / "a.nii.gz", None, tmp_path / "a.pkl")

    row = command._refine_case(lambda: refiner, lambda: guard, ("a", files, tmp_path / "out.nii.gz"))["row"]

    assert row["reason"].startswith("mended A left_of B")
    assert np.argwhere(written[0] != values).tolist() == [[0, 0, 0]]
    assert written[0][0, 0, 0] == 2


def test_a_label_that_the_dataset_does_not_have_is_named_and_not_written(tmp_path, folder, capsys):
    values = short_axis()
    values[1, 20, 28] = 7  # no rule knows it
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing(SPACING_MM[::-1])
    SimpleITK.WriteImage(image, str(folder / "holed.nii.gz"))

    assert main(["refine", str(folder), "-o", str(tmp_path / "out"), "--guarantee", "acdc"]) == 1

    assert re.search(r"excluded: holed: .*holed\.nii\.gz holds the label 7, which", capsys.readouterr().out)
    assert sorted(file.name for file in (tmp_path / "out").glob("*.nii.gz")) == ["good.nii.gz", "torn.nii.gz"]


def refused(capsys, *words):
    assert main(["refine", *map(str, words)]) == 1
    return capsys.readouterr().err


def test_what_cannot_be_guaranteed_is_refused_in_a_line(tmp_path, folder, capsys):
    out = tmp_path / "out"
    assert "declares no anatomical_rules" in refused(capsys, folder, "-o", out, "--guarantee")
    assert "no file acdcc" in refused(capsys, folder, "-o", out, "--guarantee", "acdcc")
    assert "--most-changed 2.0 is no share" in refused(
        capsys, folder, "-o", out, "--guarantee", "acdc", "--most-changed", "2"
    )
    assert "--most-tries 0 tries nothing" in refused(
        capsys, folder, "-o", out, "--guarantee", "acdc", "--most-tries", "0"
    )
    (folder / "dataset.json").unlink()
    assert "no dataset.json in or above" in refused(capsys, folder, "-o", out, "--guarantee", "acdc")
    assert not out.exists()


def test_of_many_that_break_the_rules_the_first_are_named(tmp_path, folder, capsys, monkeypatch):
    monkeypatch.setattr(overview, "MOST_NAMED", 1)
    (folder / "worse.nii.gz").write_bytes((folder / "torn.nii.gz").read_bytes())

    assert main(["refine", str(folder), "-o", str(tmp_path / "out"), "--guarantee", "acdc", "--most-changed", "0"]) == 0

    said = capsys.readouterr().out
    assert "1 kept, 3 left (of 4)" in said
    assert "left: holed: breaks" in said
    assert "torn" not in said
    assert "… and 2 more: see refined.csv." in said
