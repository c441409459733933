"""Names in folders, journals, plans and splits that would lead out of the output folder: one sentence, and no file."""

import json
import shutil

import numpy as np
import pytest
import SimpleITK
from acdc_folders import write_acdc
from short_axis import SPACING_MM, short_axis

from acnn_nnunet.cli import main

ODD = "a\\..\\..\\evil"
"""A name that a folder on Linux can hold, and that leads out of one on Windows."""
PER_CASE = {
    "evaluate": ["{0}", "{1}"],
    "evaluate-sr": ["{0}", "{1}"],
    "degrade": ["-i", "{0}", "--factor", "2", "--axis", "0"],
    "predict-hr": ["-i", "{0}", "--baseline", "linear", "--factor", "2", "--labels"],
    "refine": ["{0}", "--guarantee", "acdc"],
    "plausibility": ["{0}", "--rules", "acdc"],
}


@pytest.fixture
def folder(tmp_path):
    """Label maps and their dataset.json, one of an odd name."""
    folder = tmp_path / "in"
    folder.mkdir()
    image = SimpleITK.GetImageFromArray(short_axis().astype(np.uint8))
    image.SetSpacing(SPACING_MM[::-1])
    for case in ("good", "better"):
        SimpleITK.WriteImage(image, str(folder / f"{case}.nii.gz"))
    (folder / "better.nii.gz").rename(folder / f"{ODD}.nii.gz")
    labels = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz"}))
    return folder


def words_of(command, folder):
    """Return a command and what it reads: the folder, and where it takes two, a second one like it."""
    other = folder.with_name("other")
    if not other.exists():
        shutil.copytree(folder, other)
    return [command, *(word.format(folder, other) for word in PER_CASE[command])]


@pytest.mark.parametrize("command", PER_CASE)
def test_a_file_of_such_a_name_is_refused(folder, tmp_path, capsys, command):
    words = words_of(command, folder)

    assert main([*words, "-o", str(tmp_path / "out")]) == 1

    said = capsys.readouterr().err
    assert f"{folder} names {ODD!r}, which would lead out of the output folder: rename it" in said
    assert not list((tmp_path / "out").glob("*.nii.gz"))
    for each in (folder, folder.with_name("other")):
        (each / f"{ODD}.nii.gz").rename(each / "better.nii.gz")
    assert main([*words, "-o", str(tmp_path / "out2")]) == 0


@pytest.mark.parametrize("odd", ["../../evil", "/tmp/evil"])
@pytest.mark.parametrize("command", ["evaluate", "degrade", "refine"])
def test_a_part_that_names_such_a_case_is_not_merged(folder, tmp_path, capsys, command, odd):
    (folder / f"{ODD}.nii.gz").unlink()
    out = tmp_path / "out"
    assert main([*words_of(command, folder), "-o", str(out)]) == 0
    journal = out / "parts" / "part_0_of_1.jsonl"
    journal.write_text(journal.read_text().replace('"good"', json.dumps(odd)))
    before = sorted(tmp_path.rglob("*"))

    assert main(["merge", str(out)]) == 1

    assert f"part_0_of_1.jsonl names {odd!r}, which would lead out of the output folder" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_conversion_moves_no_file_of_elsewhere(tmp_path, monkeypatch, capsys):
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    source, mine = write_acdc(tmp_path / "ACDC"), tmp_path / "raw" / "mine.nii.gz"
    for part_id in "01":
        assert main(["convert", "acdc", str(source), "28", "-num_parts", "2", "-part_id", part_id]) == 0
    mine.write_text("precious")
    beside = tmp_path / "raw" / ".Dataset028_ACDC.partial"
    journal = beside / "parts" / "part_0_of_2.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines() if line]
    next(line for line in lines if line.get("patient"))["patient"]["files"][0] = "../mine.nii.gz"
    journal.write_text("\n".join(map(json.dumps, lines)))

    assert main(["merge", str(beside)]) == 1

    assert "parts names '../mine.nii.gz', which would lead out of the output folder" in capsys.readouterr().err
    assert mine.read_text() == "precious"


@pytest.mark.parametrize("key", ["dataset", "configuration", "trainer", "plans"])
def test_a_plan_of_trainings_is_refused(tmp_path, capsys, key):
    plan = {"dataset": 27, "configuration": "3d_fullres", "trainer": "ACNNTrainer", "folds": [0], "settings": {"a": {}}}
    (tmp_path / "plan.yaml").write_text(json.dumps({**plan, key: "../../evil"}))

    assert main(["sweep", str(tmp_path / "plan.yaml"), "-o", str(tmp_path / "out")]) == 1

    said = capsys.readouterr().err
    assert "plan.yaml: it names '../../evil', which would lead out of the output folder" in said
    assert not (tmp_path / "out").exists()


def test_a_readers_study_writes_its_two_files_alone(folder, tmp_path):
    out = tmp_path / "out"
    arms = ["a", "b"]
    for arm in arms:
        shutil.copytree(folder, tmp_path / arm)

    words = [f"{arm}={tmp_path / arm}" for arm in arms]
    assert main(["reader-study", *words, "--reference", str(folder), "--images", str(folder), "-o", str(out)]) == 0

    assert sorted(path.name for path in out.iterdir()) == ["key.json", "study.html"]
