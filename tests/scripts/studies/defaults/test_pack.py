"""`scripts/studies/defaults/pack.py`: what a pack holds, how large it is, and its results back."""

import json
from pathlib import Path

import pandas as pd
import pytest

from scripts.studies import packing as shared
from scripts.studies.defaults import pack as packing
from scripts.studies.defaults.workplace import Workplace
from scripts.studies.results import StudyResults

CONFIGURATIONS = ("2d", "3d_fullres", "3d_study", "3d_study_prior", "3d_study_none_seed0")
RAW = "Dataset004_Hippocampus"


def prepared(work: Path, raw: Path) -> Workplace:
    """Return a workplace with what `prepare` leaves of a raw dataset, but for preprocessed images."""
    place = Workplace("hippocampus", work / "hippocampus")
    place.make()
    place.link_raw(raw)
    place.preprocessed.mkdir()
    place.plans_file.write_text(json.dumps({"configurations": {name: {} for name in CONFIGURATIONS}}))
    for name in ("dataset.json", "dataset_fingerprint.json"):
        (place.preprocessed / name).write_text("{}")
    place.write_split()
    return place


@pytest.fixture
def place(tmp_path) -> Workplace:
    raw = tmp_path / RAW
    for folder, end in (("imagesTr", "_0000"), ("labelsTr", "")):
        (raw / folder).mkdir(parents=True)
        for number in range(200):
            (raw / folder / f"case_{number:03d}{end}.nii.gz").write_bytes(b"1234")
    (raw / "dataset.json").write_text("{}")
    return prepared(tmp_path / "work", raw)


def test_a_pack_holds_cases_plans_and_code(place, tmp_path, capsys):
    packing.pack(["hippocampus"], tmp_path / "work", tmp_path / "pack")

    packed = Workplace("hippocampus", tmp_path / "pack" / "hippocampus")
    names = {file.name.removesuffix("_0000.nii.gz") for file in (packed.raw / "imagesTr").iterdir()}
    # 20 to train on, 40 to choose on, fold 0's 40 held-out ones.
    assert names == {file.name.removesuffix(".nii.gz") for file in (packed.raw / "labelsTr").iterdir()}
    assert len(names) == 100
    assert names >= {*packed.cases("selection"), *packed.cases("confirmation")}
    assert set(json.loads(packed.plans_file.read_text())["configurations"]) == {
        "3d_fullres",
        "3d_study",
        "3d_study_prior",
    }
    code = tmp_path / "pack" / "code"
    assert (code / "scripts" / "studies" / "defaults" / "pack.py").is_file()
    assert (code / "acnn_nnunet" / "nnunet" / "ext_trainers").is_dir()
    assert "--device cuda" in (tmp_path / "pack" / "run.sh").read_text()
    assert "MB" in capsys.readouterr().out


def test_a_line_of_more_cases_brings_them(place, tmp_path):
    packing.pack(["hippocampus"], tmp_path / "work", tmp_path / "pack", sizes=[160])
    packed = Workplace("hippocampus", tmp_path / "pack" / "hippocampus")
    assert len(list((packed.raw / "imagesTr").iterdir())) == 200
    assert packed.has_cases("none_unmirrored_n160")


def test_an_arm_whose_cases_stayed_behind_is_left_out_with_a_word(place, tmp_path, capsys):
    packing.pack(["hippocampus"], tmp_path / "work", tmp_path / "pack")
    packed = Workplace("hippocampus", tmp_path / "pack" / "hippocampus")
    assert packed.has_cases("none_unmirrored")

    packed.run(["none_unmirrored_n160"], [0], minutes=1, jobs=1)

    assert "none_unmirrored_n160: left out" in capsys.readouterr().out


def test_a_dataset_that_is_not_prepared_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="prepare acdc"):
        packing.pack(["acdc"], tmp_path, tmp_path / "pack")


def test_a_folder_that_exists_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="name a new folder"):
        packing.pack(["acdc"], tmp_path, tmp_path)


def test_too_large_a_pack_is_refused_with_its_size(place, tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "LARGEST_MB", 0.001)
    with pytest.raises(SystemExit, match=r"more than 0\.001: pack one dataset"):
        packing.pack(["hippocampus"], tmp_path / "work", tmp_path / "pack")


def test_results_come_back_and_known_ones_stay(tmp_path):
    def results(name: str, dice: dict[int, str]) -> StudyResults:
        made = StudyResults(tmp_path / name, keys=("dataset", "arm", "seed"))
        for seed, value in dice.items():
            run = {"dataset": "acdc", "arm": "none", "seed": seed, "training_s": 1.5}
            made.add(run, {"cases": pd.DataFrame([{"case": "a", "dice": value}])})
        return made

    home = results("home", {0: "0.5"})
    away = results("away", {0: "0.25", 1: "0.75"})

    packing.merge(away.folder, into=home)

    assert [run["seed"] for run in home.runs()] == [0, 1]
    assert home.table("cases")[["seed", "dice"]].to_numpy().tolist() == [["0", "0.5"], ["1", "0.75"]]


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"holds no runs\.json"):
        packing.merge(tmp_path, into=StudyResults(tmp_path / "home", keys=("dataset", "arm", "seed")))


@pytest.mark.real_data
def test_a_pack_of_all_hippocampi_is_small(tmp_path, data_folder):
    prepared(tmp_path / "work", data_folder / "nnUNet_raw" / RAW)
    packing.pack(["hippocampus"], tmp_path / "work", tmp_path / "pack", sizes=[160])
    assert 10 < shared.size_mb(tmp_path / "pack") < shared.LARGEST_MB / 2
