"""Implausible slices of arms, counted by hand."""

import pytest
from compared_folders import score, write_evaluation

from acnn_nnunet.evaluation.anatomy.cases import CaseAnatomy, write_anatomy
from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule
from acnn_nnunet.evaluation.comparison.anatomy import compare_anatomy
from acnn_nnunet.evaluation.comparison.scores import read_paired_scores
from acnn_nnunet.evaluation.comparison.tables import table_cells


@pytest.fixture
def arms(tmp_path):
    """Three cases; arm a has 2, 0 and 1 implausible slices of 5, arm b none but in c2, which it does not predict."""
    folders = {
        arm: write_evaluation(tmp_path / arm, [score(f"c{number}") for number in range(3)]) for arm in ("a", "b")
    }
    write(folders["a"], c0=2, c1=0, c2=1)
    write(folders["b"], c0=0, c1=0)
    return folders


def write(folder, rule="LV one_piece in_plane", **slices):
    rows = [CaseAnatomy(case, 5, count, int(count > 0), {rule: count / 5}) for case, count in slices.items()]
    label, name, _ = rule.split()
    write_anatomy(folder / "anatomy.csv", rows, [AnatomicalRule(name, (label,), in_plane=True)])


def test_cases_that_an_arm_does_not_predict_are_left_out_of_all(arms):
    rows = {(row.metric, row.arm): row for row in compare_anatomy(read_paired_scores(arms))}
    assert len(rows) == 4
    slices = rows["implausible_slices", "b"]
    assert (slices.mean, slices.mean_difference, slices.num_cases, slices.not_applicable) == (0, -1, 2, 1)
    assert (slices.wins, slices.ties, slices.losses, slices.label) == (1, 1, 0, "case")
    assert rows["implausible", "a"].mean == 0.5


def test_the_rows_end_the_table(arms):
    from acnn_nnunet.evaluation.comparison.comparisons import compare_scores

    scores = read_paired_scores(arms)
    rows = compare_scores(scores, resamples=10) + compare_anatomy(scores)
    main = [row for row in rows if row.clean_up == "none"]
    _, body = table_cells(scores, main)
    assert [line[:3] for line in body[-2:]] == [
        ["implausible slices", "case", "2"],
        ["implausible cases, share", "case", "2"],
    ]
    _, cleaned = table_cells(scores, [row for row in rows if row.clean_up != "none"])
    assert len(cleaned) == len(body) - 2


def test_other_rules_or_none_are_not_compared(arms):
    write(arms["b"], rule="RV one_piece in_plane", c0=0, c1=0, c2=0)
    assert compare_anatomy(read_paired_scores(arms)) == []
    (arms["b"] / "anatomy.csv").unlink()
    assert compare_anatomy(read_paired_scores(arms)) == []
