"""Writing beside and renaming."""

import codecs
import json
import math
import os

import numpy as np
import pytest

from acnn_nnunet.files.safe_writes import (
    check_names,
    make_output_folder,
    names_in,
    plain,
    read_text,
    refuse_file,
    replace_atomically,
    write_json,
    write_json_rows,
    write_text,
)


def test_text_is_written_as_given(tmp_path):
    write_text(tmp_path / "a.csv", "é\n1\r\n")

    assert (tmp_path / "a.csv").read_bytes() == "é\n1\r\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_failed_write_keeps_the_former_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail(partial):
        with open(partial, "w") as file:
            file.write("half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match=r"Could not write .*a\.txt \(No space left on device\).*previous file is kept"):
        replace_atomically(path, fail)
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_is_not_there_is_an_error_of_one_line(tmp_path):
    with pytest.raises(OSError, match="Could not write") as error:
        write_text(tmp_path / "none" / "a.txt", "x")
    assert "\n" not in str(error.value)
    assert "kept" not in str(error.value)


def test_json_of_numpy_values(tmp_path):
    content = {"a": np.float32(0.5), "b": [np.int64(3), (np.bool_(True),)], "c": np.arange(3), np.int64(4): None}

    write_json(tmp_path / "a.json", content)

    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 0.5, "b": [3, [True]], "c": [0, 1, 2], "4": None}
    assert type(plain(np.float64(1.0))) is float


def test_not_a_number_is_written_as_the_host_writes_it(tmp_path):
    write_json(tmp_path / "a.json", {"Dice": math.nan})

    assert math.isnan(json.loads((tmp_path / "a.json").read_text())["Dice"])


def test_an_output_folder(tmp_path):
    make_output_folder(tmp_path / "a" / "b", source=tmp_path)
    assert os.listdir(tmp_path / "a" / "b") == []
    with pytest.raises(ValueError, match="is the folder that is read from"):
        make_output_folder(tmp_path / "a", source=tmp_path / "a" / "b" / "..")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file cannot be written to .*choose another folder with -o"):
        make_output_folder(tmp_path / "file", source=tmp_path)
    with pytest.raises(ValueError, match=r"file is a file: name a folder with -o"):
        refuse_file(tmp_path / "file")
    refuse_file(tmp_path / "nothing")


@pytest.mark.parametrize(
    "content",
    [
        "é;1".encode(),
        codecs.BOM_UTF8 + "é;1".encode(),
        codecs.BOM_UTF16_LE + "é;1".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "é;1".encode("utf-16-be"),
    ],
)
def test_text_of_spreadsheets_is_read_in_their_encodings(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)

    assert read_text(tmp_path / "a.csv") == "é;1"


def test_an_empty_file_is_an_empty_text(tmp_path):
    (tmp_path / "a.csv").touch()

    assert read_text(tmp_path / "a.csv") == ""


def test_a_file_in_latin_1_is_no_text(tmp_path):
    (tmp_path / "a.csv").write_bytes("é".encode("latin-1"))

    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "a.csv")


def test_names_without_what_a_killed_run_did_not_finish(tmp_path):
    for name in ("b.csv", "a.json", "a.json.partial", ".writable_77", ".hidden"):
        (tmp_path / name).touch()

    assert names_in(tmp_path) == [".hidden", "a.json", "b.csv"]
    assert names_in(tmp_path / "none") == []


def test_long_lists_item_by_item_are_the_same_json(tmp_path):
    content = {
        "mean": {"1": 0.5},
        "cases": [{"case": "a\nb", "x": [1, {}]}, {"case": "c"}],
        "none": [],
        "n": np.int64(3),
    }
    write_json(tmp_path / "whole.json", content)

    rows = {"cases": iter(content["cases"]), "none": iter(())}
    write_json_rows(tmp_path / "rows.json", {**content, "cases": None, "none": None}, rows)

    whole, written = ((tmp_path / f"{name}.json").read_text() for name in ("whole", "rows"))
    assert json.loads(written) == json.loads(whole)
    assert written.splitlines() == [
        "{",
        '  "mean": {',
        '    "1": 0.5',
        "  },",
        '  "cases": [',
        '    {"case": "a\\nb", "x": [1, {}]},',
        '    {"case": "c"}',
        "  ],",
        '  "none": [],',
        '  "n": 3',
        "}",
    ]


def test_long_lists_may_hold_numpy_numbers(tmp_path):
    write_json_rows(tmp_path / "a.json", {"rows": None}, {"rows": [{"x": np.float32(0.5), "n": np.int64(2)}]})

    assert json.loads((tmp_path / "a.json").read_text()) == {"rows": [{"x": 0.5, "n": 2}]}


@pytest.mark.parametrize("name", ["case", "patient001_ED", "training/patient001", "a..b", "..a", "ümlaut 1", "C", "-x"])
def test_names_of_cases_are_taken(name):
    check_names([name], where="labelsTr")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../evil", "a/../../evil", "a/..", "/etc/evil", "//evil", "..\\evil", "a\\b", "C:evil", "a\0b"],
)
def test_names_that_lead_out_are_refused(name):
    with pytest.raises(ValueError, match=r"labelsTr names .* lead out of the output folder: rename it"):
        check_names(["good", name], where="labelsTr")
