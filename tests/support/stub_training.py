"""A stand-in for nnUNetv2_train that ends within a moment, and the folders of nnU-Net that it works in."""

import json
import sys

from label_folders import LABELS, heart, write_labels

DATASET = "Dataset005_Toy"

_PROGRAM = f"""#!{sys.executable}
import json, os, shutil, sys
from pathlib import Path
_, dataset, configuration, fold, _, trainer, *rest = sys.argv
root = Path(os.environ["nnUNet_results"]) / "{DATASET}" / f"{{trainer}}__nnUNetPlans__{{configuration}}"
folder = root / f"fold_{{fold}}"
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "starts.txt", "a") as file:
    file.write(f"{{'--c' in rest}} {{os.environ.get('CUDA_VISIBLE_DEVICES', '')}}\\n")
(folder / "training_log_2026.txt").write_text("2026: Epoch 7\\n")
fails = Path(os.environ["nnUNet_results"]) / f"fails_{{configuration}}"
if fails.exists() and int(fails.read_text()) > 0:
    fails.write_text(str(int(fails.read_text()) - 1))
    (folder / "checkpoint_latest.pth").touch()
    print("Epoch 7")
    print("CUDA out of memory")
    sys.exit(1)
truth = Path(os.environ["nnUNet_preprocessed"]) / "{DATASET}" / "gt_segmentations"
(folder / "validation").mkdir(exist_ok=True)
for case in sorted(truth.glob("*.nii.gz"))[int(fold)::2]:
    shutil.copy(case, folder / "validation" / case.name)
(folder / "validation" / "summary.json").write_text(json.dumps({{"foreground_mean": {{"Dice": 1.0}}}}))
(folder / "checkpoint_final.pth").touch()
"""


def make_workplace(root, monkeypatch):
    """Write plans, references and the stand-in; point nnU-Net's variables there; return the three folders."""
    folders = {}
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        folders[name] = root / name
        folders[name].mkdir()
        monkeypatch.setenv(name, str(folders[name]))
    data = folders["nnUNet_preprocessed"] / DATASET
    for index in range(4):
        write_labels(data / "gt_segmentations" / f"case_{index}.nii.gz", heart())
    (data / "dataset.json").write_text(json.dumps({"labels": LABELS, "file_ending": ".nii.gz"}))
    plans = {"plans_name": "nnUNetPlans", "configurations": {"3d_fullres": {"batch_size": 2}}}
    (data / "nnUNetPlans.json").write_text(json.dumps(plans))
    (root / "bin").mkdir()
    program = root / "bin" / "nnUNetv2_train"
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    monkeypatch.setattr("acnn_nnunet.sweep.training.find_program", lambda name: str(program))
    return folders


def fail(folders, configuration, times):
    """Let the next trainings of a configuration fail."""
    (folders["nnUNet_results"] / f"fails_{configuration}").write_text(str(times))
