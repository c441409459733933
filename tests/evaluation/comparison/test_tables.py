"""A comparison as Markdown and LaTeX, and as much of it as fits a screen."""

from compared_folders import score, write_evaluation

from acnn_nnunet.evaluation.comparison.command import compare
from acnn_nnunet.evaluation.comparison.comparisons import compare_scores
from acnn_nnunet.evaluation.comparison.scores import read_paired_scores
from acnn_nnunet.evaluation.comparison.tables import render_markdown, render_summary


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
