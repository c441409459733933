"""reader-scores as a user runs it: files, what is said, and one reader."""

import csv
import json

import pytest
from reader_studies import make_key, write_export
from self_contained import assert_self_contained

from acnn_nnunet.cli import main

RATINGS = [1, 4, 2, 4, 3, 5]  # x: 1, 2, 3; y: 4, 4, 5


@pytest.fixture
def key(tmp_path):
    make_key(arms=("x", "y")).write(tmp_path / "key.json")
    return tmp_path / "key.json"


def test_two_readers(tmp_path, key, capsys):
    exports = [write_export(tmp_path / f"{reader}.json", reader, RATINGS) for reader in ("R1", "<b>R2")]

    assert main(["reader-scores", str(key), *map(str, exports), "-o", str(tmp_path / "out")]) == 0

    shown = capsys.readouterr().out
    assert "R1              x             2.00   1.00      3" in shown
    assert "R1: y − x +2.33, p (Holm) 0.2500" in shown  # all of three pairs: 2 · 1/8
    assert "Weighted kappa of <b>R2 and R1: 1.000." in shown
    assert "ICC(2,1) 1.000" in shown
    rows = list(csv.DictReader((tmp_path / "out" / "ratings.csv").read_text().splitlines()))
    assert len(rows) == 12
    assert rows[7] == {"reader": "R1", "case": "a", "arm": "y", "rating": "4", "item": "2"}
    content = json.loads((tmp_path / "out" / "reader_scores.json").read_text())
    assert content["readers"] == ["<b>R2", "R1"]
    assert content["excluded"] == []
    page = (tmp_path / "out" / "report.html").read_text()
    assert_self_contained(page)
    assert "<b>R2" not in page
    assert "2.00 ± 1.00 (2.0)" in page
    assert main(["reader-scores", str(key), *map(str, exports), "-o", str(tmp_path / "out")]) == 0  # replaced


def test_one_reader_and_a_half_finished_one(tmp_path, key, capsys):
    whole = write_export(tmp_path / "whole.json", "R1", RATINGS)
    half = write_export(tmp_path / "half.json", "R2", [None, *RATINGS[1:]])

    assert main(["reader-scores", str(key), str(whole), str(half), "-o", str(tmp_path / "out")]) == 1

    shown = capsys.readouterr().out
    assert "One reader: agreement cannot be said." in shown
    assert "half.json: 1 of 6 items are not rated yet" in shown
    assert "1 of 6 items are not rated yet" in (tmp_path / "out" / "report.html").read_text()


def test_nothing_of_the_users_is_overwritten(tmp_path, key, capsys):
    export = write_export(tmp_path / "r.json", "R1", RATINGS)
    assert main(["reader-scores", str(key), str(export), "-o", str(tmp_path)]) == 1
    assert "holds other things, such as" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{}", "[]", "x", '{"command": "acnn-nnunet compare", "items": []}'])
def test_what_is_no_key(tmp_path, capsys, text):
    (tmp_path / "key.json").write_text(text)
    export = write_export(tmp_path / "r.json", "R1", RATINGS)

    assert main(["reader-scores", str(tmp_path / "key.json"), str(export), "-o", str(tmp_path / "out")]) == 1
    assert "key.json is no key of a study" in capsys.readouterr().err
