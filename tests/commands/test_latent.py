"""Words of the commands about codes, as options."""

from pathlib import Path

import pytest

from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.cli import main
from acnn_nnunet.latent.classification.command import ClassificationOptions
from acnn_nnunet.latent.codes.command import CodesOptions
from acnn_nnunet.latent.report.command import LatentReportOptions

PRIOR = Path("prior.pth")


@pytest.fixture(autouse=True)
def _prior(monkeypatch):
    monkeypatch.setattr("acnn_nnunet.commands.latent.prior_of", lambda arguments: PRIOR)


def test_codes(monkeypatch):
    calls = []

    def write(*arguments):
        calls.append(arguments)
        return Outcome("written", (Excluded("a", "a is empty."),))

    monkeypatch.setattr("acnn_nnunet.latent.codes.command.write_folder_codes", write)
    assert main(["codes", "labels", "-o", "codes.csv", "--align", "--groups", "g.csv"]) == 1
    assert main(["codes", "images", "-o", "codes.csv", "--images", "--around", "pred", "-device", "mps"]) == 1
    assert [options for _, _, options in calls] == [
        CodesOptions(PRIOR, align=True, groups_file=Path("g.csv")),
        CodesOptions(PRIOR, images=True, around=Path("pred"), device="mps"),
    ]


def test_latent_report(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr("acnn_nnunet.latent.report.command.latent_report", lambda *e: (calls.append(e), "a page")[1])
    assert (
        main(
            [
                "latent-report",
                "labels",
                "-o",
                "out",
                "--between",
                "a",
                "b",
                "--dimensions",
                "0",
                "3",
                "--directions",
                "2",
            ]
        )
        == 0
    )
    assert capsys.readouterr().out == "a page\n"
    options = LatentReportOptions(PRIOR, dimensions=[0, 3], num_directions=2, between=("a", "b"))
    assert calls == [(Path("labels"), Path("out"), options)]


def test_classify(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "acnn_nnunet.latent.classification.command.run_classification", lambda *each: (calls.append(each), "x")[1]
    )
    assert main(["classify", "codes.csv", "g.csv", "-o", "out", "--folds", "5", "--runs", "2", "--arm", "a=b"]) == 0
    options = ClassificationOptions(num_folds=5, num_runs=2, arms=["a=b"])
    assert calls == [(Path("codes.csv"), Path("g.csv"), Path("out"), options)]
