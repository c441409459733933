"""Words of plausibility and refine as options objects."""

from pathlib import Path

from acnn_nnunet.casewise.work import Outcome
from acnn_nnunet.cli import main
from acnn_nnunet.plausibility.command import PlausibilityOptions
from acnn_nnunet.refinement.command import RefineOptions


def test_plausibility(monkeypatch, tmp_path):
    prior, calls = tmp_path / "prior.pth", []
    prior.write_bytes(b"")
    monkeypatch.setattr("acnn_nnunet.commands.predictions.prior_of", lambda arguments: arguments.prior)
    monkeypatch.setattr(
        "acnn_nnunet.plausibility.command.plausibility", lambda *each: (calls.append(each), Outcome("x"))[1]
    )
    words = f"plausibility pred -o out --prior {prior} --rules r.json --calibrate gt --recall 0.8 --bad-dice 0.5"
    assert main([*words.split(), "--groups", "g.csv", "--images", "i"]) == 0
    options = PlausibilityOptions(
        prior,
        images=Path("i"),
        rules_file=Path("r.json"),
        references=Path("gt"),
        recall=0.8,
        bad_dice=0.5,
        groups_file=Path("g.csv"),
    )
    assert calls == [(Path("pred"), Path("out"), options)]


def test_refine(monkeypatch):
    calls = []
    monkeypatch.setattr("acnn_nnunet.refinement.command.refine", lambda *each: (calls.append(each), Outcome("x"))[1])
    assert (
        main(
            [
                "refine",
                "-i",
                "in",
                "-o",
                "out",
                "-d",
                "4",
                "-c",
                "3d_fullres",
                "-f",
                "all",
                "-chk",
                "best.pth",
                "-device",
                "cpu",
            ]
        )
        == 0
    )
    options = RefineOptions("4", "3d_fullres", fold="all", checkpoint_name="best.pth", device="cpu")
    assert calls == [(Path("in"), Path("out"), options)]
