"""A comparison as Markdown and LaTeX, and as much of it as fits a screen."""

import dataclasses

import numpy as np
import pytest
from compared_folders import both_empty, missed, score, write_evaluation

from acnn_nnunet.evaluation.comparison.command import compare
from acnn_nnunet.evaluation.comparison.comparisons import Comparison, compare_scores
from acnn_nnunet.evaluation.comparison.published import PublishedColumn, PublishedTable
from acnn_nnunet.evaluation.comparison.scores import read_paired_scores
from acnn_nnunet.evaluation.comparison.tables import (
    escape_tex,
    explain,
    format_arm,
    format_mean,
    format_p,
    format_score,
    our_rows,
    render_markdown,
    render_summary,
    split_tables,
    table_cells,
    table_title,
)


def test_latex_escapes_and_balances(tmp_path):
    names = {"1": "RV_cavity & 50 %"}
    rows = [score("c", dice=0.5), score("d", dice=0.4)]
    folders = {arm: write_evaluation(tmp_path / arm, rows, label_names=names) for arm in ("nnu_net", "b")}

    compare(folders, tmp_path / "out")
    table = (tmp_path / "out" / "comparison.tex").read_text()

    assert r"RV\_cavity \& 50 \% (1)" in table
    assert r"nnu\_net" in table
    assert r"$\pm$" in table
    assert table.count(r"\begin{tabular}") == table.count(r"\end{tabular}") == 2
    columns = table.split(r"\begin{tabular}{")[1].split("}")[0]
    body = table.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert {line.replace(r"\&", "").count("&") for line in body} == {len(columns) - 1}


def test_markdown_keeps_its_columns_with_bars_in_a_name(tmp_path):
    rows = [score("c"), score("d")]
    folders = {arm: write_evaluation(tmp_path / arm, rows, label_names={"1": "a|b"}) for arm in "ab"}

    text = compare(folders, tmp_path / "out")

    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in lines} == {10}


def test_the_screen_shows_the_labels_that_differ_most(tmp_path):
    labels = [str(number) for number in range(1, 31)]
    a = [score("c", label, 0.5) for label in labels]
    b = [score("c", label, 0.5 + int(label) / 100) for label in labels]
    scores = read_paired_scores({name: write_evaluation(tmp_path / name, rows) for name, rows in (("a", a), ("b", b))})
    comparisons = compare_scores(scores, resamples=10)

    text = render_summary(scores, comparisons)

    rows = [line.split(" | ")[1] for line in text.splitlines() if line.startswith("| Dice")]
    assert rows == ["26", "27", "28", "29", "30", "foreground"]
    assert "6 of 31 labels: foreground and the largest mean differences in Dice. comparison.md has them all." in text
    assert render_markdown(scores, comparisons).count("| Dice |") == 2 * 31  # with and without clean-up


def test_few_labels_are_all_on_the_screen(tmp_path):
    rows = [score("c", label) for label in "12345"]
    scores = read_paired_scores({arm: write_evaluation(tmp_path / arm, rows) for arm in "ab"})

    text = render_summary(scores, compare_scores(scores, resamples=10))

    assert text.count("| Dice |") == 6
    assert "labels:" not in text


def row(metric="dice", *, arm="b", label="1", clean_up="none", stratum="all", mean=None, sd=None, median=None):
    return Comparison(clean_up, stratum, label, metric, arm, 2, 2, 0, mean, sd, median)


def paired(tmp_path, rows=None, **summary):
    """Two arms with the same scores."""
    rows = rows or [score("c"), score("d", dice=0.5)]
    return read_paired_scores({arm: write_evaluation(tmp_path / arm, rows, **summary) for arm in "ab"})


@pytest.mark.parametrize(
    ("value", "metric", "text"), [(0.12345, "dice", "0.123"), (1.235, "hd95_mm", "1.24"), (-0.5, "dice", "−0.500")]
)
def test_overlap_has_three_digits_and_a_distance_two(value, metric, text):
    assert format_score(value, metric) == text


@pytest.mark.parametrize(("value", "text"), [(0.5, "+0.500"), (0.0, "+0.000"), (-0.0004, "−0.000")])
def test_a_difference_has_a_sign(value, text):
    assert format_score(value, "dice", signed=True) == text


@pytest.mark.parametrize(("value", "text"), [(None, ""), (1.0, "1.000"), (0.001, "0.001"), (0.000999, "<0.001")])
def test_p_of_a_test_and_of_none(value, text):
    assert format_p(value) == text


def test_an_arm_without_a_case_has_an_empty_cell():
    assert (format_arm(row()), format_mean(row())) == ("", "")


def test_an_arm_with_one_case_has_no_deviation():
    one = row("hausdorff_mm", mean=2.0, median=2.0)

    assert (format_arm(one), format_mean(one)) == ("2.00 (2.00)", "2.00")


def test_an_arm_with_several_cases():
    several = row(mean=0.75, sd=0.125, median=0.8)

    assert (format_arm(several), format_mean(several)) == ("0.750 ± 0.125 (0.800)", "0.750 ± 0.125")


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("", ""),
        ("RV_1 & 50 %", r"RV\_1 \& 50 \%"),
        ("\\{}", r"\textbackslash{}\{\}"),
        ("−1 ± 2 < 3", r"$-$1 $\pm$ 2 $<$ 3"),
    ],
)
def test_latex_prints_special_characters_as_they_stand(text, tex):
    assert escape_tex(text) == tex


def test_rows_are_split_by_clean_up_and_stratum_in_their_order():
    rows = [row(), row(stratum="phase ED"), row(clean_up="largest component"), row(label="2")]

    assert split_tables(rows) == [
        ("none", "all", [rows[0], rows[3]]),
        ("none", "phase ED", [rows[1]]),
        ("largest component", "all", [rows[2]]),
    ]
    assert split_tables([]) == []


def test_the_heading_of_a_table():
    assert table_title("none", "all") == "All cases, no clean-up"
    assert table_title("largest component", "phase ED") == "phase ED, largest component of every label kept"


def test_the_cells_of_one_label_and_of_labels_asked_for(tmp_path):
    scores = paired(tmp_path, [score("c", "1"), score("c", "2", 0.5)])
    rows = [each for each in compare_scores(scores, resamples=10) if each.clean_up == "none"]

    header, body = table_cells(scores, rows, ["2"])

    assert header == ["metric", "label", "n", "a", "b", "b − a [95 % CI]", "p", "p Holm", "wins/ties/losses"]
    assert len(body) == 6
    # One case: no deviation, no interval, no test; both arms have the same score.
    assert body[0] == ["Dice", "2", "1", "0.500 (0.500)", "0.500 (0.500)", "+0.000", "", "", "0/1/0"]


def test_one_case_allows_no_test(tmp_path):
    sentences = explain(paired(tmp_path, [score("c")]))

    assert sentences[0].startswith("1 cases; differences are arm − a")
    assert sentences[2] == "Only one case: no interval and no test is possible."


def test_labels_that_were_missed_or_are_empty_are_counted(tmp_path):
    sentences = explain(paired(tmp_path, [missed("c"), score("d"), both_empty("e")]))

    assert sentences[1] == (
        "Labels missed (scored 0, or with the image's diagonal): a 1, b 1; "
        "found where the reference has none: a 0, b 0."
    )
    assert sentences[3].startswith("Rows empty in reference and prediction: a 1, b 1.")


def test_the_tolerance_is_told_where_it_is_known(tmp_path):
    scores = dataclasses.replace(paired(tmp_path), tolerance_mm=2.0)

    assert "Surface Dice at a tolerance of 2 mm." in explain(scores)
    assert not any("tolerance" in sentence for sentence in explain(dataclasses.replace(scores, tolerance_mm=None)))


def test_cases_that_could_not_be_scored_are_counted_by_arm(tmp_path):
    scores = dataclasses.replace(paired(tmp_path), excluded={"a": [], "b": [("x", "bad"), ("y", "bad")]})

    assert explain(scores)[-1] == "Cases that `evaluate` could not score, in no arm compared: b 2."


def test_our_scores_stand_in_the_columns_of_a_published_table(tmp_path):
    scores = paired(tmp_path, label_names={"1": "LV"})
    columns = (
        PublishedColumn("Dice", "dice", ("left ventricle", "lv")),
        PublishedColumn("Dice at ED", "dice", ("lv",), "ED"),
        PublishedColumn("time"),
    )
    table = PublishedTable("t", "p", "s", False, columns, (), ())
    rows = [row(arm="a", mean=0.7, sd=0.1, median=0.7), row(arm="b", mean=0.8, median=0.8)]

    # No group file, so no case is known to be of end-diastole.
    assert our_rows(table, scores, rows) == {"a": ["0.700 ± 0.100", "", ""], "b": ["0.800", "", ""]}


def test_a_phase_in_lower_case_stands_in_the_column_of_that_phase(tmp_path):
    scores = paired(tmp_path, label_names={"1": "LV"})
    scores = dataclasses.replace(scores, strata={**scores.strata, "phase ed": np.ones(len(scores.cases), bool)})
    table = PublishedTable("t", "p", "s", False, (PublishedColumn("Dice at ED", "dice", ("lv",), "ED"),), (), ())

    assert our_rows(table, scores, [row(stratum="phase ed", arm="a", mean=0.7, median=0.7)]) == {"a": ["0.700"]}


def test_an_arm_that_measures_no_published_column_has_no_row(tmp_path):
    table = PublishedTable("t", "p", "s", False, (PublishedColumn("Dice", "dice", ("RV",)),), (), ())

    assert our_rows(table, paired(tmp_path, label_names={"1": "LV"}), [row(mean=0.8, median=0.8)]) == {}
