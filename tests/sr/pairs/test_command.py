"""Pairs of a dataset, good and bad ones together."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from real_pairs import DATASET, FACTOR, error_of, known_motion, phantom

from acnn_nnunet.files.volumes import Volume, read_volume, write_volume
from acnn_nnunet.sr.pairs.command import PairOptions, prepare_pairs
from acnn_nnunet.sr.pairs.grids import RigidMotion
from acnn_nnunet.sr.pairs.store import pairs_folder, prepared_cases, read_record, records_of
from acnn_nnunet.sr.slice_thickness import sidecar_of


def prepare(place, **options):
    folder = place.preprocessed / "pairs"
    return folder, prepare_pairs(DATASET, folder, PairOptions("3d_hr", **options))


def rows_of(folder):
    with open(folder / "pairs.csv", encoding="utf-8") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def change(path, **geometry):
    volume = read_volume(path)
    write_volume(path, Volume(volume.values, replace(volume.geometry, **geometry)))


def test_bad_pairs_are_named_and_the_rest_goes_on(place):
    names = ("good", "stranger", "thicker", "swapped", "single", "half", "damaged", "fat", "torn")
    files = {name: place.add(name) for name in names}
    change(files["stranger"].stack[0], origin_mm=(900.0, 0.0, 0.0))
    change(files["thicker"].stack[0], spacing_mm=(8.0, 1.0, 1.0))
    for path in (files["swapped"].image[0], files["swapped"].labels):
        change(path, spacing_mm=(6.0, 1.0, 1.0))
    stack = read_volume(files["single"].stack[0])
    write_volume(files["single"].stack[0], Volume(stack.values[:1], replace(stack.geometry, size=(1, 20, 18))))
    files["half"].image[0].unlink()
    files["damaged"].stack[0].write_bytes(b"no image")
    # Slices lie 4 mm apart.
    sidecar_of(files["fat"].stack[0]).write_text(json.dumps({"SliceThickness": 9}))
    sidecar_of(files["torn"].stack[0]).write_text(json.dumps({"SpacingBetweenSlices": 5}))
    folder, outcome = prepare(place)
    assert prepared_cases(folder) == ["good"]
    assert {each.case for each in outcome.excluded} == set(names) - {"good"}
    assert outcome.text.splitlines()[0] == f"{folder}: 1 of 9 done"
    reasons = {each.case: each.reason for each in outcome.excluded}
    for case, words in {
        "stranger": "are they of different patients",
        "thicker": "but the factor is 4: plan it with --factor 8",
        "swapped": "which is no thinner",
        "single": "has 1 slice along NIfTI axis 2",
        "half": "lacks its other half",
        "damaged": "cannot be read",
        "fat": "has slices of 9 mm, more than twice their spacing of 4 mm",
        "torn": "has a slice every 4 mm by its header and every 5 mm by torn_0000.json",
    }.items():
        assert words in reasons[case]
        assert str(files[case].stack[0]) in reasons[case]
        assert rows_of(folder)[case]["used"] == "no"
    page = (folder / "pairs.html").read_text()
    assert "1 stacks of" in page
    assert "8 refused" in page
    assert "are they of different patients" in page


def test_by_the_headers_without_registration(place):
    motion = known_motion(phantom()[0], degrees=(0.0, 0.0, 0.0), shift_mm=(2.0, 0.0, 0.0))
    place.add("moved", motion=motion)
    folder, outcome = prepare(place)
    assert outcome.complete
    record = read_record(folder, "moved")
    assert record.motion == RigidMotion()
    assert not record.registered
    assert record.misalignment_after_mm == record.misalignment_before_mm == pytest.approx(2, abs=0.4)
    assert rows_of(folder)["moved"]["information_before"] == ""


def test_registration_is_logged_and_shown(place):
    motion = known_motion(phantom()[0], degrees=(1.0, -2.0, 3.0), shift_mm=(2.0, -1.0, 0.5))
    files = place.add("moved", motion=motion)
    folder, outcome = prepare(place, register=True)
    assert outcome.complete
    record = read_record(folder, "moved")
    shift_mm, angle_deg = error_of(record.motion, motion, read_volume(files.stack[0]))
    assert shift_mm < 0.2
    assert angle_deg < 0.3
    row = rows_of(folder)["moved"]
    assert float(row["misalignment_before_mm"]) > 1
    assert float(row["misalignment_after_mm"]) < 0.2
    assert float(row["information_after"]) > float(row["information_before"])
    assert float(row["shift_mm"]) == pytest.approx(record.motion.shift_mm, abs=1e-3)
    page = (folder / "pairs.html").read_text()
    assert "data:image/svg+xml;base64" in page
    assert f"moved {record.motion.shift_mm:.2f} mm and {record.motion.rotation_deg:.2f}°" in page


def test_what_is_saved_is_the_hosts_format(place):
    place.add("a")
    folder, _ = prepare(place)
    data, labels, _, properties = nnUNetDatasetBlosc2(str(folder), ["a"]).load_case("a")
    assert data.shape == (2, 24, 20, 18)
    assert labels.shape == (1, 24, 20, 18)
    stack = np.asarray(data[1])
    blocks = stack.reshape(6, FACTOR, 20, 18)
    assert np.array_equal(blocks, blocks[:, :1].repeat(FACTOR, 1))
    assert set(properties["class_locations"]) == {1, 2}


def test_where_a_configurations_pairs_are(place):
    assert pairs_folder({}, place.preprocessed) is None
    assert pairs_folder({"acnn_hr": {"factor": 4, "axis": 0}}, place.preprocessed) is None
    named = {"acnn_hr": {"pairs": "pairs"}}
    with pytest.raises(FileNotFoundError, match=r"pairs are gone: make them again with acnn-nnunet plan-hr"):
        pairs_folder(named, place.preprocessed)
    (place.preprocessed / "pairs").mkdir()
    assert pairs_folder(named, place.preprocessed) == place.preprocessed / "pairs"


def test_a_damaged_record(place):
    place.add("a")
    folder, _ = prepare(place)
    (folder / "a.json").write_text(json.dumps({"case": "a"}))
    with pytest.raises(ValueError, match=r"a\.json is damaged or of another version .*: run acnn-nnunet plan-hr again"):
        records_of(folder)
