"""`acnn-nnunet classify`: its files, what it says of itself, and one clear line for what cannot be."""

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from patients import rows_of, splits_of, table_of, write_rows, write_table
from self_contained import assert_self_contained

from acnn_nnunet.cli import main
from acnn_nnunet.latent.classification import arms
from acnn_nnunet.latent.codes.table import CodeTable

ROWS = rows_of({"NOR": 4, "DCM": 4, "HCM": 4})


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setattr(arms, "cross_validate", _with_few_trees(arms.cross_validate))


def _with_few_trees(original):
    return lambda *arguments, num_trees, **rest: original(*arguments, num_trees=5, **rest)


def run(*words):
    return main(["classify", *map(str, words)])


def test_the_looser_arm_says_so(tmp_path, capsys):
    codes = write_table(tmp_path / "codes.csv", table_of(ROWS))
    rows = write_rows(tmp_path / "groups.csv", [row for row in ROWS if row.case != "p00_ED"])
    clinical = tmp_path / "clinical.csv"
    clinical.write_text("patient,lv_edv_ml\n" + "".join(f"p{n:02d},{n}\n" for n in range(12)))

    assert run(codes, rows, "-o", tmp_path / "out", "--folds", 2, "--runs", 2, "--clinical", clinical) == 0

    printed = capsys.readouterr().out
    assert "Looser arm, as in the paper: one prior for all patients" in printed
    assert "left out: p00: has no ED case with a code" in printed
    assert re.search(r"^codes\+volumes  ED\+ES +5 ", printed, flags=re.MULTILINE)
    summary = json.loads((tmp_path / "out" / "classification.json").read_text())
    assert (summary["arm"], summary["num_patients"]) == ("loose", {"DCM": 4, "HCM": 4, "NOR": 3})
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        predictions = list(csv.DictReader(file))
    assert len(predictions) == 11 * 6
    for arm in summary["arms"]:
        own = [row for row in predictions if (row["arm"], row["phases"]) == (arm["name"], arm["phases"])]
        assert [row["patient"] for row in own] == [f"p{n:02d}" for n in range(1, 12)]
        assert sum(row["verdict"] == row["group"] for row in own) == arm["num_correct"]
        assert np.trace(arm["confusion"]) == arm["num_correct"]


def test_the_page_is_one_file_and_balanced(tmp_path):
    codes = write_table(tmp_path / "codes.csv", table_of(ROWS))
    rows = write_rows(tmp_path / "groups.csv", ROWS)
    noise = CodeTable(tuple(ROWS), np.random.default_rng(1).normal(size=(24, 3)))
    arm = f"<b>={write_table(tmp_path / 'noise.csv', noise)}"

    assert run(codes, rows, "-o", tmp_path, "--folds", 2, "--runs", 1, "--arm", arm) == 0

    page = (tmp_path / "classification.html").read_text()
    assert "Looser arm" in page
    assert "codes against &lt;b&gt;" in page
    assert_self_contained(page)
    open_tags = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            open_tags.extend([tag] if tag not in ("meta", "img", "br") else [])

        def handle_endtag(self, tag):
            while open_tags.pop() != tag:
                assert tag in ("table", "tr", "tbody", "thead", "ul", "html", "body")

    Checker().feed(page)


def test_the_strict_arm(tmp_path, capsys):
    for fold in range(4):
        write_table(tmp_path / "codes" / f"fold_{fold}.csv", table_of(ROWS))
    rows = write_rows(tmp_path / "groups.csv", ROWS)
    splits = tmp_path / "splits_final.json"
    splits.write_text(json.dumps(splits_of(ROWS, num_folds=4)))

    pca = f"pca={tmp_path / 'codes'}"  # as the guide names an arm
    words = ["-o", tmp_path / "out", "--splits", splits, "--runs", 2, "--classes", "NOR", "DCM", "--arm", pca]
    assert run(tmp_path / "codes", rows, *words) == 0

    assert "Strict arm: 4 fixed folds, each with the codes of its own prior" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out" / "classification.json").read_text())
    assert (summary["arm"], summary["num_others"], summary["num_folds"]) == ("strict", 4, 4)
    assert summary["classes"] == ["NOR", "DCM"]
    assert [arm["name"] for arm in summary["arms"]] == ["codes", "pca"] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folds", 1], "At least 2 folds and 1 run are needed, got --folds 1 and --runs 20."),
        (["--runs", 0], "At least 2 folds and 1 run are needed"),
        (["--folds", 13], "13 folds need as many patients, there are 12"),
        (["--classes", "NOR", "RV"], "The group RV is asked for twice or unknown; the groups are DCM, HCM, NOR."),
        (["--classes", "NOR"], "Two groups of two or more patients"),
        (["--pca", "labels"], "--pca LABELS and --prior go together"),
        (["--arm", "volumes=x.csv"], "--arm volumes=… has the name of another arm"),
        (["--arm", "pca=x.csv", "--pca", "labels", "--prior", "p"], "--arm pca=… has the name of another arm"),
        (["--arm", "x.csv"], "'x.csv' is no NAME=FOLDER"),
        (["--clinical", "nowhere.csv"], "There is no nowhere.csv"),
        (["--splits", "nowhere.json"], "There is no nowhere.json"),
    ],
)
def test_what_cannot_be(words, message, tmp_path, capsys):
    codes = write_table(tmp_path / "codes.csv", table_of(ROWS))
    rows = write_rows(tmp_path / "groups.csv", ROWS)

    assert run(codes, rows, "-o", tmp_path / "out", *words) == 1

    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_case_that_comes_twice(tmp_path, capsys):
    codes = write_table(tmp_path / "codes.csv", table_of([*ROWS, ROWS[0]]))
    rows = write_rows(tmp_path / "groups.csv", ROWS)

    assert run(codes, rows, "-o", tmp_path / "out") == 1

    assert "codes.csv, line 26: case p00_ED is there already, in line 2." in capsys.readouterr().err


def test_codes_that_are_not_finite_and_cases_of_strangers_are_counted(tmp_path, capsys):
    strangers = [replace(row, case=f"x{row.case}", patient="stranger") for row in ROWS[:1]]
    table = table_of([*ROWS, *strangers])
    table.codes[3, 1] = np.nan  # p01's ES
    codes = write_table(tmp_path / "codes.csv", table)
    rows = write_rows(tmp_path / "groups.csv", ROWS)

    assert run(codes, rows, "-o", tmp_path / "out", "--folds", 2, "--runs", 1) == 0

    printed = capsys.readouterr().out
    assert "11 patients (4 DCM, 4 HCM, 3 NOR), 2 left out" in printed
    assert "left out: p01: p01_ES: its code is not finite" in printed
    assert "left out: xp00_ED: the case is not in the table of groups" in printed
