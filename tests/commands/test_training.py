"""Words of the commands around training."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from acnn_nnunet.cli import main
from acnn_nnunet.demo.command import DemoOptions
from acnn_nnunet.prior_report.command import PriorReportOptions


@dataclass
class Finding:
    text: str
    ok: bool

    def __str__(self) -> str:
        return self.text


def test_doctor_fails_with_one_finding(monkeypatch, capsys):
    findings = [Finding("good", True), Finding("bad", False)]
    monkeypatch.setattr("acnn_nnunet.nnunet.doctor.examine", lambda *, device: findings[: 1 + (device == "cpu")])
    assert main(["doctor"]) == 0
    assert main(["doctor", "-device", "cpu"]) == 1
    assert capsys.readouterr().out == "good\ngood\nbad\n"


def test_demo(monkeypatch):
    calls = []
    monkeypatch.setattr("acnn_nnunet.demo.command.run_demo", lambda *each: calls.append(each) or "a table")
    assert main(["demo"]) == 0
    assert main(["demo", "-o", "there", "-device", "mps"]) == 0
    assert calls == [(Path("acnn_demo"), DemoOptions("cpu")), (Path("there"), DemoOptions("mps"))]


def test_a_setting_is_explained(capsys):
    for words in (["--help", "num_epochs"], ["--help"]):
        with pytest.raises(SystemExit) as ended:
            main(["configure", *words])
        assert ended.value.code == 0
        assert "num_epochs" in capsys.readouterr().out


def test_configure(monkeypatch, capsys):
    def configure(dataset, *, base, name, plans_identifier, assignments):
        return f"{dataset} {base} {name} {plans_identifier} {assignments}"

    monkeypatch.setattr("acnn_nnunet.nnunet.configure.configure", configure)
    assert main(["configure", "4", "-c", "3d_fullres", "-n", "quick", "seed=1"]) == 0
    assert capsys.readouterr().out == "4 3d_fullres quick nnUNetPlans ['seed=1']\n"


def test_export_stock(monkeypatch, capsys):
    monkeypatch.setattr("acnn_nnunet.nnunet.export.export_stock", lambda model, output: f"{model} in {output}")
    assert main(["export-stock", "model", "-o", "out"]) == 0
    assert capsys.readouterr().out == "model in out\n"


def test_prior_report(monkeypatch):
    calls = []
    monkeypatch.setattr("acnn_nnunet.prior_report.command.prior_report", lambda *each: (calls.append(each), "x")[1])
    assert main(["prior-report", "4", "3d_fullres", "1", "-p", "Other", "-o", "out"]) == 0
    assert calls == [(Path("out"), PriorReportOptions("4", "3d_fullres", "1", plans_identifier="Other"))]
