"""Words of plausibility and refine as options objects."""

import re
from pathlib import Path

import pytest

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.work import Outcome
from acnn_nnunet.cli import main
from acnn_nnunet.plausibility.command import PlausibilityOptions
from acnn_nnunet.refinement.command import RefineOptions
from acnn_nnunet.refinement.second_stage import SecondStageOptions


def test_plausibility(monkeypatch, tmp_path):
    prior, calls = tmp_path / "prior.pth", []
    prior.write_bytes(b"")
    monkeypatch.setattr("acnn_nnunet.commands.predictions.prior_of", lambda arguments: arguments.prior)
    monkeypatch.setattr(
        "acnn_nnunet.plausibility.command.plausibility", lambda *each: (calls.append(each), Outcome("x"))[1]
    )
    words = f"plausibility pred -o out --prior {prior} --rules r.json --calibrate gt --recall 0.8 --bad-dice 0.5"
    words += " --members a b --level 0.8 --continue"
    assert main([*words.split(), "--groups", "g.csv", "--images", "i"]) == 0
    options = PlausibilityOptions(
        prior,
        members=(Path("a"), Path("b")),
        level=0.8,
        execution=Execution(go_on=True),
        images=Path("i"),
        rules_file=Path("r.json"),
        references=Path("gt"),
        recall=0.8,
        bad_dice=0.5,
        groups_file=Path("g.csv"),
    )
    assert calls == [(Path("pred"), Path("out"), options)]
    assert main(["plausibility", "pred", "-o", "out", "--members", "a", "b", "-djfile", "d.json"]) == 0
    members = (Path("a"), Path("b"))
    assert calls[1][2] == PlausibilityOptions(members=members, dataset_json=Path("d.json"))


@pytest.fixture
def refined(monkeypatch):
    calls = []
    monkeypatch.setattr("acnn_nnunet.refinement.command.refine", lambda *each: (calls.append(each), Outcome("x"))[1])
    return calls


@pytest.mark.parametrize("more", ["", "-tr AESegTrainer", "--method second-stage"])
def test_a_second_stage_keeps_its_words(refined, more):
    words = f"refine -i in -o out -d 4 -c 3d_fullres -f all -chk best.pth -device cpu {more}"

    assert main(words.split()) == 0

    stage = SecondStageOptions("4", "3d_fullres", fold="all", checkpoint_name="best.pth", device="cpu")
    assert refined == [(Path("in"), Path("out"), RefineOptions("second-stage", second_stage=stage))]


def test_a_prior_refines(refined, tmp_path):
    (tmp_path / "prior.pth").write_bytes(b"")

    assert main(f"refine in -o out --prior {tmp_path / 'prior.pth'} --continue_prediction".split()) == 0

    options = RefineOptions("complete", tmp_path / "prior.pth", execution=Execution(go_on=True))
    assert refined == [(Path("in"), Path("out"), options)]


@pytest.mark.parametrize(("rules", "found"), [("acdc", Path("acdc")), ("r.json", Path.cwd() / "r.json")])
def test_workers_of_a_cluster_find_the_rules_that_are_guaranteed(refined, tmp_path, rules, found):
    (tmp_path / "prior.pth").write_bytes(b"")
    words = f"refine in -o out --prior {tmp_path / 'prior.pth'} --scheduler 127.0.0.1:1 --guarantee {rules}"

    assert main(words.split()) == 0

    assert refined[0][2].guarantee.rules_file == found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-o out --prior p", "Name the folder of predictions once"),
        ("in -i in -o out --prior p", "Name the folder of predictions once"),
        ("in -o out --method project -tr AESegTrainer --prior p", "-tr names a second stage: leave it out"),
        ("in -o out -tr AESegTrainer --prior p", "A second stage needs no prior"),
        ("in -o out --guarantee acdc --calibrate gt", "Name a prior with --prior, or with -d, -c and -f"),
        ("in -o out --guarantee acdc --calibration a.json", "Name a prior with --prior, or with -d, -c and -f"),
        ("in -o out -tr AESegTrainer -d 4 -c 3d --calibrate gt", "--calibration go with a shape prior"),
        ("in -o out -tr AESegTrainer -d 4", "A second stage is found by -d, -c and -f \\(-c missing\\)"),
    ],
)
def test_words_that_do_not_go_together(refined, words, message, capsys):
    assert main(["refine", *words.split()]) != 0

    assert re.search(message, capsys.readouterr().err)
    assert refined == []
