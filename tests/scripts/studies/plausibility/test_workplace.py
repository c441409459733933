"""`scripts/studies/plausibility/` on phantoms: calibrated on some patients, measured on others, kept, written down."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everyone writes it
from phantom_prior import misshapen, write_phantom_prior, write_raw

from acnn_nnunet.nnunet.label_files import LabelFileReader
from scripts.studies.plausibility import measures, report, targets, workplace

CASES = 24


def write_like(path: Path, values: np.ndarray, file: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(values.astype(np.uint8))
    image.CopyInformation(sitk.ReadImage(str(file)))
    sitk.WriteImage(image, str(path))


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """A folder of the study: a third of the predictions are wrong, and there the second member is right."""
    root = tmp_path_factory.mktemp("study")
    raw = write_raw(root, cases=CASES)
    prior = write_phantom_prior(raw, root / "results", steps=10)
    chosen = {}
    for index, file in enumerate(sorted((raw / "labelsTr").iterdir())):
        case = file.name.removesuffix(".nii.gz")
        part = "calibration" if index < CASES // 2 else "confirmation"
        for kind in ("clean", "noise", "upside_down")[: 2 + (part == "confirmation" and index % 4 == 0)]:
            key = f"{case}__{kind}"
            chosen[key] = [part, case, kind]
            truth = LabelFileReader("SimpleITKIO").read(file).values
            wrong = misshapen(truth, seed=index) if index % 3 == 1 or kind == "noise" else truth
            wrong = truth[::-1, ::-1] if kind == "upside_down" else wrong
            for folder, values in (("ensemble", wrong), ("members/one", wrong), ("members/two", truth)):
                write_like(root / "phantom" / folder / f"{key}.nii.gz", values, file)
            if kind != "upside_down":
                write_like(root / "phantom" / "labels" / f"{key}.nii.gz", truth, file)
    (root / "phantom" / "chosen.json").write_text(json.dumps(chosen))
    return root, prior


def test_a_run_is_kept_and_written_down(predicted, monkeypatch, tmp_path):
    root, prior = predicted
    for module in (workplace, report):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(report, "PAGE", tmp_path / "plausibility.md")
    monkeypatch.setattr(report, "DATASETS", {"phantom": "Phantoms"})
    monkeypatch.setattr(measures, "RESAMPLES", 10)
    monkeypatch.setattr(targets, "_FOUND", {"upside_down": 1.0})

    def run():
        made = workplace.Run("phantom", root / "phantom", prior_file=prior, rules_file=None, grouped=False)
        made.run()
        return json.loads((tmp_path / "results" / "phantom.json").read_text())

    found = run()
    assert found["calibration"] == {"predictions": 24, "patients": 12}
    assert found["measured"] == {"predictions": 24, "patients": 12}
    assert set(found["arms"]) == {"everything", "members alone", "prior alone"}  # no rules
    assert found["models"] == ["one", "two"]
    assert found["prior"]["training_cases"] == {"all": 24, "calibration": 12, "confirmation": 12}
    assert found["arms"]["members alone"]["auroc_worst_tenth"] > 0.9  # they differ by what is wrong
    assert "members alone" in found["arms"]["everything"]["differences"]
    low, high = found["arms"]["everything"]["intervals"]["spearman_dice"]
    assert low <= high
    strange = found["out_of_distribution"]
    assert strange["cases"]["upside_down"] == 3
    assert set(strange["unusual"]) == {"clean", "upside_down"}
    assert set(strange["found"]["novelty: prior, volume"]) == {"upside_down"}
    assert found["perfect_aurc"] <= min(each["aurc"] for each in found["arms"].values())
    assert 0 <= found["coverage"]["clean"]["all"]["dice"]["coverage"] <= 1
    assert found["coverage"]["corrupted"]["RV"]["dice"]["num"] == 12

    monkeypatch.setattr(workplace.Scorer, "score", None)  # a second run takes the scores that are there
    monkeypatch.setattr(workplace.Run, "time_cases", lambda self: found["seconds_per_case"])
    assert run() == found

    report.write_report()
    page = (tmp_path / "plausibility.md").read_text()
    assert page.startswith("# Which predictions to trust\n")
    assert "| members alone |" in page
    assert "upside_down (3)" in page
    assert "| AURC over the members' | ≤ 0.80 |" in page
