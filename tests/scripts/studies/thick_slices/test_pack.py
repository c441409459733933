"""`scripts/studies/thick_slices/pack.py`: what a pack holds, and its results back."""

import json
import subprocess

import pandas as pd
import pytest

from scripts.studies.thick_slices import pack as packing
from scripts.studies.thick_slices.workplace import LABEL_SCORES, results_in

DATASET = "Dataset004_Hippocampus"


@pytest.fixture
def work(tmp_path):
    """A prepared folder; the raw labels are a link, as `prepare` makes them."""
    folder = tmp_path / "work"
    for name in ("test/labels/a.nii.gz", f"preprocessed/{DATASET}/nnUNetPlans.json"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"1234")
    voxels = folder / "preprocessed" / DATASET / "nnUNetPlans_3d_fullres"
    voxels.mkdir()
    (voxels / "a.b2nd").write_bytes(b"voxels")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.nii.gz").write_bytes(b"labels")
    (folder / "raw" / DATASET).mkdir(parents=True)
    (folder / "raw" / DATASET / "labelsTr").symlink_to(tmp_path / "elsewhere")
    (folder / "raw" / DATASET / "dataset.json").write_text("{}")
    return folder


def test_a_pack_unpacks_to_what_was_prepared_without_the_images(work, tmp_path):
    (work / "raw" / DATASET / "imagesTr").mkdir()
    packing.pack(work, tmp_path / "pack")
    (tmp_path / "there").mkdir()
    for part in (tmp_path / "pack" / "parts").iterdir():
        subprocess.run(["tar", "-xJf", part, "-C", tmp_path / "there"], check=True)
    files = {str(path.relative_to(tmp_path / "there")) for path in (tmp_path / "there").rglob("*") if path.is_file()}
    data = f"preprocessed/{DATASET}"
    assert files == {
        "test/labels/a.nii.gz",
        f"{data}/nnUNetPlans.json",
        f"{data}/nnUNetPlans_3d_fullres/a.b2nd",
        f"raw/{DATASET}/labelsTr/a.nii.gz",
        f"raw/{DATASET}/dataset.json",
    }
    assert not (tmp_path / "there" / "raw" / DATASET / "labelsTr").is_symlink()
    assert not (tmp_path / "there" / "raw" / DATASET / "imagesTr").exists()


def test_the_script_of_a_pack(work, tmp_path):
    packing.pack(work, tmp_path / "pack")
    script = tmp_path / "pack" / "run.sh"
    assert "--device cuda" in script.read_text()
    assert (tmp_path / "pack" / "code" / "scripts" / "studies" / "thick_slices").is_dir()
    subprocess.run(["bash", "-n", script], check=True)


def test_what_cannot_be_packed(work, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="name a new folder"):
        packing.pack(work, tmp_path / "elsewhere")
    with pytest.raises(SystemExit, match="holds no test images"):
        packing.pack(tmp_path / "elsewhere", tmp_path / "pack")
    monkeypatch.setattr(packing, "LARGEST_MB", 1e-6)
    with pytest.raises(SystemExit, match=r"Larger than .*tests\.tar\.xz"):
        packing.pack(work, tmp_path / "pack")


def test_results_come_back_by_loss(tmp_path):
    scores = {LABEL_SCORES: pd.DataFrame([{"case": "a", "dice": "0.5"}])}
    results_in(tmp_path / "away" / "dice_ce").add({"arm": "unet_2d", "seed": 1}, scores)
    (tmp_path / "away" / "dice_ce" / "prior_all.json").write_text(json.dumps({"parameters": 3}))
    packing.merge(tmp_path / "away", into=tmp_path / "home")
    assert results_in(tmp_path / "home" / "dice_ce").has(arm="unet_2d", seed=1)
    assert json.loads((tmp_path / "home" / "dice_ce" / "prior_all.json").read_text()) == {"parameters": 3}
    with pytest.raises(SystemExit, match=r"holds no runs\.json of ce_per_class or dice_ce"):
        packing.merge(tmp_path / "nowhere", into=tmp_path / "home")
