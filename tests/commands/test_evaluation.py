"""Words of the commands that score, as options objects."""

from pathlib import Path

import pytest

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.cli import main
from acnn_nnunet.evaluation.command import EvaluationOptions
from acnn_nnunet.evaluation.comparison.command import ComparisonOptions

INCOMPLETE = Outcome("scored", (Excluded("a", "a is spoilt."),))


def run(words):
    return main(words.split())


def test_evaluate(monkeypatch, capsys, tmp_path):
    (tmp_path / "g.csv").touch()
    monkeypatch.chdir(tmp_path)
    calls = []
    monkeypatch.setattr("acnn_nnunet.evaluation.command.evaluate", lambda *each: (calls.append(each), INCOMPLETE)[1])
    words = "evaluate gt pred -o out -djfile d.json -l 1 1,2 -il 9 --tolerance 3 --groups g.csv --images . --chill"
    assert run(f"{words} -np 2 --continue -num_parts 4 -part_id 1") == 1
    options = EvaluationOptions(
        labels=["1", "1,2"],
        ignore_label=9,
        dataset_json=Path("d.json"),
        tolerance_mm=3,
        groups=Path("g.csv"),
        images=Path("."),
        only_predicted=True,
        execution=Execution(num_processes=2, go_on=True, num_parts=4, part_id=1),
    )
    assert calls == [(Path("gt"), Path("pred"), Path("out"), options)]
    assert capsys.readouterr().out == "scored\n"


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("evaluate", "evaluation.command"),
        ("evaluate-sr", "evaluation.images.command"),
        ("codes", "latent.codes.command"),
    ],
)
def test_merge(monkeypatch, command, module):
    monkeypatch.setattr("acnn_nnunet.casewise.parts.command_of_parts", lambda output: command)
    monkeypatch.setattr(f"acnn_nnunet.{module}.merge_parts", lambda output: Outcome(f"{module} {output}"))
    assert run("merge out") == 0


def test_merge_of_a_command_that_writes_a_file_per_case(monkeypatch):
    monkeypatch.setattr("acnn_nnunet.casewise.parts.command_of_parts", lambda output: "degrade")
    monkeypatch.setattr("acnn_nnunet.casewise.file_results.merge_files", lambda output: INCOMPLETE)
    assert run("merge out") == 1


def test_a_data_range_is_a_number_or_the_references(monkeypatch, capsys):
    seen = []

    def score(reference, prediction, output, options):
        seen.append(options.data_range)
        return INCOMPLETE

    monkeypatch.setattr("acnn_nnunet.evaluation.images.command.evaluate_super_resolution", score)
    for word in ("2.5", "reference"):
        assert run(f"evaluate-sr gt pred -o out -np 1 --data-range {word}") == 1
    assert seen == [2.5, None]
    with pytest.raises(SystemExit):
        run("evaluate-sr gt pred -o out --data-range wide")
    assert "--data-range: invalid" in capsys.readouterr().err


def test_compare(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        "acnn_nnunet.evaluation.comparison.command.compare", lambda *each: (seen.append(each), "a table")[1]
    )
    assert run(f"compare a={tmp_path} b={tmp_path} -o out --published acdc") == 0
    arms, output, options = seen[0]
    assert list(arms) == ["a", "b"]
    assert (output, options) == (Path("out"), ComparisonOptions(published="acdc"))
