"""`scripts/studies/thick_slices/pack.py`: what a pack holds, and its results back."""

import json
import subprocess

import pandas as pd
import pytest

from scripts.studies.thick_slices import pack as packing
from scripts.studies.thick_slices.workplace import LABEL_SCORES, results_in

RAW = "Dataset004_Hippocampus"


@pytest.fixture
def raw(tmp_path):
    for folder, name in (("imagesTr", "a_0000.nii.gz"), ("labelsTr", "a.nii.gz")):
        (tmp_path / "raw" / RAW / folder).mkdir(parents=True)
        (tmp_path / "raw" / RAW / folder / name).write_bytes(b"1234")
    (tmp_path / "raw" / RAW / "dataset.json").write_text("{}")
    return tmp_path / "raw"


def test_a_pack_holds_images_code_and_script(raw, tmp_path):
    packing.pack(raw, tmp_path / "pack")
    packed = tmp_path / "pack" / "raw" / RAW
    assert sorted(path.name for path in packed.rglob("*.*")) == ["a.nii.gz", "a_0000.nii.gz", "dataset.json"]
    script = tmp_path / "pack" / "run.sh"
    assert "--device cuda" in script.read_text()
    subprocess.run(["bash", "-n", script], check=True)
    with pytest.raises(SystemExit, match="name a new folder"):
        packing.pack(raw, tmp_path / "pack")


def test_results_come_back_by_loss(tmp_path):
    scores = {LABEL_SCORES: pd.DataFrame([{"case": "a", "dice": "0.5"}])}
    results_in(tmp_path / "away" / "dice_ce").add({"arm": "unet_2d", "seed": 1}, scores)
    (tmp_path / "away" / "dice_ce" / "prior_all.json").write_text(json.dumps({"parameters": 3}))
    packing.merge(tmp_path / "away", into=tmp_path / "home")
    assert results_in(tmp_path / "home" / "dice_ce").has(arm="unet_2d", seed=1)
    assert json.loads((tmp_path / "home" / "dice_ce" / "prior_all.json").read_text()) == {"parameters": 3}
    with pytest.raises(SystemExit, match=r"holds no runs\.json of ce_per_class or dice_ce"):
        packing.merge(tmp_path / "nowhere", into=tmp_path / "home")
