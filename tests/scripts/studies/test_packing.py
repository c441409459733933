"""`scripts/studies/packing.py`: code travels, results come back, known ones stay."""

import pandas as pd
import pytest

from scripts.studies import packing
from scripts.studies.results import StudyResults


def test_a_pack_gets_code_and_a_script(tmp_path, capsys):
    packing.finish_pack(tmp_path, "#!/bin/sh\n")
    assert (tmp_path / "code" / "scripts" / "studies" / "packing.py").is_file()
    assert (tmp_path / "code" / "acnn_nnunet" / "nnunet" / "ext_trainers").is_dir()
    assert not list(tmp_path.rglob("__pycache__"))
    assert (tmp_path / "run.sh").stat().st_mode & 0o100
    assert f"{packing.size_mb(tmp_path):.1f} MB" in capsys.readouterr().out


def test_too_large_a_pack_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "LARGEST_MB", 0.001)
    with pytest.raises(SystemExit, match=r"more than 0\.001"):
        packing.finish_pack(tmp_path, "")


def test_results_come_back_and_known_ones_stay(tmp_path):
    def results(name, scores):
        made = StudyResults(tmp_path / name, keys=("arm", "seed"))
        for (arm, seed), (table, dice) in scores.items():
            rows = pd.DataFrame([{"case": "a", "dice": dice}])
            made.add({"arm": arm, "seed": seed, "of": name}, {table: rows})
        return made

    home = results("home", {("a", 0): ("cases", "0.5")})
    away = results("away", {("a", 0): ("cases", "0.25"), ("a", 1): ("cases", "0.75"), ("b", 0): ("images", "0.1")})
    packing.merge_runs(away, home, ("cases", "images"))
    assert [(run["arm"], run["seed"], run["of"]) for run in home.runs()] == [
        ("a", 0, "home"),
        ("a", 1, "away"),
        ("b", 0, "away"),
    ]
    assert home.table("cases")[["arm", "seed", "dice"]].to_numpy().tolist() == [["a", "0", "0.5"], ["a", "1", "0.75"]]
    assert home.table("images")["dice"].tolist() == ["0.1"]


def test_a_longer_training_replaces_a_known_one(tmp_path):
    def results(name, dice, epochs):
        made = StudyResults(tmp_path / name, keys=("arm",))
        run = {"arm": "a", "training": {"num_epochs": epochs}}
        made.add(run, {"cases": pd.DataFrame([{"case": "a", "dice": dice}])})
        return made

    home = results("home", "0.5", 40)
    for name, dice, epochs, kept in (("longer", "0.75", 80, "0.75"), ("shorter", "0.25", 40, "0.75")):
        packing.merge_runs(results(name, dice, epochs), home, ("cases",))
        assert home.table("cases")["dice"].tolist() == [kept]
    assert [run["training"]["num_epochs"] for run in home.runs()] == [80]
