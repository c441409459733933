"""`scripts/studies/plausibility/` on phantoms: calibrated on one fold, measured on another, kept, and written down."""

import json
import shutil
import sys

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everyone writes it
from phantom_prior import misshapen, write_phantom_prior, write_raw

from acnn_nnunet.nnunet.label_files import LabelFileReader
from scripts.studies.plausibility import workplace
from scripts.studies.plausibility.__main__ import main

KINDS = ("clean", "noise")
CASES = 20


@pytest.fixture
def study(monkeypatch, tmp_path):
    monkeypatch.setattr(workplace, "RESULTS", tmp_path / "plausibility.json")
    monkeypatch.setattr(workplace, "PAGE", tmp_path / "plausibility.md")
    monkeypatch.setattr(workplace, "RESAMPLES", 20)
    return workplace


@pytest.fixture(scope="module")
def predictions_made(tmp_path_factory):
    """What the study of defaults leaves behind: a fifth of clean images' predictions are wrong, half of noisy ones'."""
    root = tmp_path_factory.mktemp("workplace")
    raw = write_raw(root, cases=CASES)
    prior = write_phantom_prior(raw, root / "results", steps=20)
    for folder in ("predictions", "test/images", "test/labels"):
        (root / folder).mkdir(parents=True)
    files = sorted((raw / "labelsTr").iterdir())
    for index, file in enumerate(files):
        case = file.name.removesuffix(".nii.gz")
        for kind in KINDS:
            shutil.copy(file, root / "test" / "labels" / f"{case}__{kind}.nii.gz")
            image = raw / "imagesTr" / f"{case}_0000.nii.gz"
            shutil.copy(image, root / "test" / "images" / f"{case}__{kind}_0000.nii.gz")
            values = LabelFileReader("SimpleITKIO").read(file).values
            wrong = index % (2 if kind == "noise" else 5) == 1
            values = misshapen(values, seed=index) if wrong else values
            written = sitk.GetImageFromArray(values.astype(np.uint8))
            written.CopyInformation(sitk.ReadImage(str(file)))
            sitk.WriteImage(written, str(root / "predictions" / f"{case}__{kind}.nii.gz"))
    names = [file.name.removesuffix(".nii.gz") for file in files]
    splits = [{"train": names[half:] + names[:start], "val": names[start:half]} for start, half in ((0, 10), (10, 20))]
    (root / "splits.json").write_text(json.dumps(splits))
    return root, prior


def run(study, monkeypatch, predictions_made, work):
    root, prior = predictions_made
    words = ["run", "phantom", "--prior", prior, "--work", work, "--predictions", root / "predictions"]
    words += ["--test", root / "test", "--splits", root / "splits.json", "--calibrate-on", 1, "--measure-on", 0]
    monkeypatch.setattr(sys, "argv", ["plausibility", *map(str, words), "--threads", "1"])
    main()
    return json.loads(study.RESULTS.read_text())["phantom"]


def test_a_run_is_kept_and_written_down(study, monkeypatch, predictions_made, tmp_path):
    found = run(study, monkeypatch, predictions_made, tmp_path / "work")
    measured = found["arms"]["all scores"]["measured"]
    assert found["cases"] == {"fold 1": {"clean": 10, "noise": 10}, "fold 0": {"clean": 10, "noise": 10}}
    assert (measured["cases"], measured["patients"]) == (20, 10)
    assert found["arms"]["all scores"]["measured_by_halves"]["cases"] == 20
    assert found["arms"]["all scores"]["calibration"]["cases"] == 20
    assert found["arms"]["learnt from clean images"]["calibration"]["cases"] == 10
    assert found["arms"]["learnt from clean images"]["measured_by_halves"] is None  # halves of 5 cases
    assert (found["calibration_cases_seen_by_prior"], found["measured_cases_seen_by_prior"]) == (10, 10)
    assert "without rules" in found["arms"]  # what is missing counts as one
    assert "rule_violation alone" not in found["arms"]  # the phantom declares no rules
    low, high = measured["intervals"]["spearman_dice"]
    assert low <= measured["spearman_dice"] <= high
    assert found["seconds_per_case"]["median"] > 0

    # A second run takes the scores that are there.
    monkeypatch.setattr(study, "score_folder", None)
    assert run(study, monkeypatch, predictions_made, tmp_path / "work")["arms"] == found["arms"]

    study.PAGE.write_text("old")
    monkeypatch.setattr(sys, "argv", ["plausibility", "report"])
    main()
    page = study.PAGE.read_text()
    assert "old" not in page
    assert page.startswith("# Does plausibility find bad predictions?\n")
    assert f"| all scores | {measured['auroc_worst_tenth']:.2f} (" in page
