"""Words of convert and submit."""

from pathlib import Path

import pytest

from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.cli import main


def test_convert(monkeypatch, capsys):
    monkeypatch.setattr("acnn_nnunet.challenges.command.convert", lambda *words, **_: Outcome(str(words)))
    assert main(["convert", "acdc", "folder", "27"]) == 0
    assert capsys.readouterr().out == f"{('acdc', Path('folder'), 27)}\n"


def test_a_patient_who_is_left_out_shows_in_the_exit_code(monkeypatch):
    left_out = Outcome("converted", (Excluded("patient003", "Info.cfg is missing"),))
    monkeypatch.setattr("acnn_nnunet.challenges.command.convert", lambda *_, **__: left_out)
    assert main(["convert", "acdc", "folder", "27"]) == 1


def test_submit(monkeypatch, capsys):
    monkeypatch.setattr("acnn_nnunet.challenges.command.submit", lambda *words, dataset: f"{words} of {dataset}")
    assert main(["submit", "cetus", "pred", "-o", "x.zip", "-d", "27"]) == 0
    assert capsys.readouterr().out == f"{('cetus', Path('pred'), Path('x.zip'))} of 27\n"


def test_an_unknown_challenge(capsys):
    with pytest.raises(SystemExit):
        main(["convert", "camus", "folder", "27"])
    assert "'camus' (choose from" in capsys.readouterr().err
