"""`acnn-nnunet plausibility` on folders of phantom hearts whose predictions are right, wrong, empty or unusable."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everyone writes it
from phantom_prior import SPACING_MM, misshapen, write_phantom_prior, write_raw
from self_contained import assert_self_contained
from short_axis import EIGHT_RULES

from acnn_nnunet.cli import main
from acnn_nnunet.fold_prior.coder import load_coder
from acnn_nnunet.nnunet.label_files import LabelFileReader
from acnn_nnunet.plausibility.command import patients_of_cases
from acnn_nnunet.plausibility.scores import Scorer
from acnn_nnunet.plausibility.subject import subject_of_prior

CASES = 14
WRONG = ("phantom_tr001", "phantom_tr004", "phantom_tr009")
NAMES = ("RV", "MYO", "LV")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("raw"), cases=CASES)


@pytest.fixture(scope="module")
def prior(raw, tmp_path_factory):
    return write_phantom_prior(raw, tmp_path_factory.mktemp("results"), steps=40)


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    path = tmp_path_factory.mktemp("rules") / "rules.json"
    path.write_text(json.dumps(EIGHT_RULES))
    return path


@pytest.fixture(scope="module")
def predictions(raw, tmp_path_factory):
    """The labels themselves, three of them misshapen: `calibrated` was made of them."""
    folder = tmp_path_factory.mktemp("predictions")
    for file in sorted((raw / "labelsTr").iterdir()):
        case = file.name.removesuffix(".nii.gz")
        values = LabelFileReader("SimpleITKIO").read(file).values
        values = misshapen(values, seed=WRONG.index(case)) if case in WRONG else values
        write_like(folder / file.name, values, file)
    return folder


@pytest.fixture(scope="module")
def calibrated(raw, prior, rules, predictions, tmp_path_factory):
    """Output of a calibration with images and rules."""
    output = tmp_path_factory.mktemp("calibrated") / "out"
    words = ["--images", raw / "imagesTr", "--rules", rules, "--calibrate", raw / "labelsTr"]
    assert run(predictions, "--prior", prior, *words, "-o", output) == 0
    return output


def run(*words):
    return main(["plausibility", *map(str, words)])


def write_like(path, values, file):
    image = sitk.GetImageFromArray(np.asarray(values, dtype=np.uint8))
    image.CopyInformation(sitk.ReadImage(str(file)))
    sitk.WriteImage(image, str(path))


def rows_of(output):
    with open(output / "plausibility.csv", newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def copy_some(predictions, folder, count=2):
    folder.mkdir()
    for file in sorted(predictions.iterdir())[:count]:
        shutil.copy(file, folder)
    return folder


def test_a_calibration_knows_the_wrong_from_the_right(calibrated):
    rows = rows_of(calibrated)
    assert len(rows) == CASES
    assert all(0 <= float(row["plausibility"]) <= 1 for row in rows.values())
    assert all((float(row["dice"]) == 1) == (case not in WRONG) for case, row in rows.items())
    for name in NAMES:
        for measure in ("expected_dice", "expected_hausdorff_mm"):
            found = [[float(row[f"{name}_{measure}{end}"]) for end in ("_low", "", "_high")] for row in rows.values()]
            assert all(each == sorted(each) for each in found)
    order = [float(row["plausibility"]) for row in rows.values()]
    assert order == sorted(order)
    calibration = json.loads((calibrated / "calibration.json").read_text())
    measured = calibration["measured"]
    assert (measured["cases"], measured["patients"]) == (CASES, CASES)
    assert calibration["sources"] == ["prior", "rules"]
    assert "rule_violation" in calibration["structures"]["LV"]["estimator"]["scores"]
    bad = {case for case, row in rows.items() if float(row["dice"]) <= calibration["bad_dice"]}
    assert bad
    assert bad <= set(WRONG)
    page = (calibrated / "report.html").read_text()
    assert page.count("data:image/png") == 1
    assert page.count("data:image/svg+xml") == sum(row["flagged"] == "True" for row in rows.values())
    assert_self_contained(page)


def test_a_calibration_judges_other_predictions(calibrated, raw, prior, rules, predictions, tmp_path, capsys):
    folder = copy_some(predictions, tmp_path / "new", 3)
    file = folder / "phantom_tr002.nii.gz"
    write_like(file, np.zeros(sitk.GetArrayFromImage(sitk.ReadImage(str(file))).shape), file)
    words = ["--images", raw / "imagesTr", "--rules", rules, "--calibration", calibrated / "calibration.json"]
    assert run(folder, "--prior", prior, *words, "-o", tmp_path / "out") == 0
    rows = rows_of(tmp_path / "out")
    assert next(iter(rows)) == "phantom_tr002"
    empty, wrong, right = (rows[f"phantom_tr00{number}"] for number in (2, 1, 0))
    assert (empty["status"], empty["plausibility"], empty["flagged"]) == ("empty", "0.0", "True")
    assert (wrong["status"], right["status"]) == ("scored", "scored")
    assert float(wrong["plausibility"]) < float(right["plausibility"])
    assert right["flagged"] == "False"
    assert "dice" not in right  # there was no reference
    assert "2 predictions scored, 1 empty, 0 left out" in capsys.readouterr().out
    # The scores do not depend on the company.
    assert right["mahalanobis"] == rows_of(calibrated)["phantom_tr000"]["mahalanobis"]


def test_every_prediction_is_scored_once_pictures_included(prior, predictions, tmp_path, monkeypatch):
    scored = []
    score = Scorer.score
    monkeypatch.setattr(Scorer, "score", lambda *a, **k: scored.append(1) or score(*a, **k))
    assert run(copy_some(predictions, tmp_path / "pred", 3), "--prior", prior, "-o", tmp_path / "out") == 0
    assert len(scored) == 3
    assert (tmp_path / "out" / "report.html").read_text().count("data:image/svg+xml") == 3


def test_a_calibration_of_an_earlier_version_is_refused(prior, predictions, tmp_path, capsys):
    folder = copy_some(predictions, tmp_path / "pred", 1)
    earlier = {
        "scores": ["mahalanobis"], "centres": [0.0], "scales": [1.0], "weights": [2.0], "intercept": 0.0,
        "bad_dice": 0.5, "recall": 0.9, "threshold": 0.4, "rules": [], "format_version": 1,
        "prior_sha256": load_coder(prior).prior.sha256, "measured": {},
    }  # fmt: skip
    file = tmp_path / "calibration.json"
    file.write_text(json.dumps(earlier))
    assert run(folder, "--prior", prior, "--calibration", file, "-o", tmp_path / "out") == 1
    assert "written by another version of acnn-nnunet (format 1 instead of 4)" in capsys.readouterr().err


def test_without_a_calibration_there_are_scores_but_no_verdict(prior, predictions, tmp_path, capsys):
    assert run(copy_some(predictions, tmp_path / "pred"), "--prior", prior, "-o", tmp_path / "out") == 0
    rows = list(rows_of(tmp_path / "out").values())
    assert all((row["plausibility"], row["flagged"]) == ("", "") for row in rows)
    assert "LV_rule_violation" not in rows[0]  # the phantom declares no rules
    dice = [min(float(row[f"{name}_reconstruction_dice"]) for name in NAMES) for row in rows]
    assert dice == sorted(dice)
    assert "not flagged" in capsys.readouterr().out
    assert "Without a calibration" in (tmp_path / "out" / "report.html").read_text()


def test_what_cannot_be_scored_is_left_out_and_counted(raw, prior, predictions, tmp_path, capsys):
    folder = copy_some(predictions, tmp_path / "pred", 4)
    files = sorted(folder.iterdir())
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(files[0])))
    write_like(files[0], values * 5, files[0])
    files[1].write_bytes(files[1].read_bytes()[:200])
    slice_alone = sitk.GetImageFromArray(values[4:5])
    slice_alone.SetSpacing(tuple(reversed(SPACING_MM)))
    sitk.WriteImage(slice_alone, str(files[2]))
    assert run(folder, "--prior", prior, "-o", tmp_path / "out") == 1
    rows = rows_of(tmp_path / "out")
    reasons = [rows[f"phantom_tr00{number}"]["reason"] for number in range(4)]
    assert "holds the label 10, which the prior" in reasons[0] or "holds the label 5," in reasons[0]
    assert "cannot be read" in reasons[1]
    assert "has one slice, the prior of" in reasons[2]
    assert reasons[3] == ""
    assert "1 predictions scored, 0 empty, 3 left out" in capsys.readouterr().out
    assert "Not scored: 3" in (tmp_path / "out" / "report.html").read_text()


def test_a_prediction_without_its_image_is_left_out(raw, prior, predictions, tmp_path):
    folder = copy_some(predictions, tmp_path / "pred", 2)
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(raw / "imagesTr" / "phantom_tr000_0000.nii.gz", images)
    assert run(folder, "--prior", prior, "--images", images, "-o", tmp_path / "out") == 1
    rows = rows_of(tmp_path / "out")
    assert rows["phantom_tr000"]["mahalanobis"] != ""
    assert "holds no image phantom_tr001_0000.nii.gz" in rows["phantom_tr001"]["reason"]


def test_empty_predictions_alone_are_no_error(prior, raw, tmp_path):
    folder = tmp_path / "pred"
    folder.mkdir()
    file = raw / "labelsTr" / "phantom_tr000.nii.gz"
    write_like(folder / file.name, np.zeros(sitk.GetArrayFromImage(sitk.ReadImage(str(file))).shape), file)
    assert run(folder, "--prior", prior, "-o", tmp_path / "out") == 0
    row = rows_of(tmp_path / "out")["phantom_tr000"]
    assert (row["status"], row["plausibility"]) == ("empty", "0.0")


def test_bad_words_are_one_line(calibrated, raw, prior, rules, predictions, tmp_path, capsys):
    few = copy_some(predictions, tmp_path / "few")
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    other_images = tmp_path / "other"
    other_images.mkdir()
    (other_images / "other_0000.nii.gz").touch()
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    no_rules = tmp_path / "dataset.json"
    no_rules.write_text("{}")
    calibration = ["--calibration", calibrated / "calibration.json"]
    members = ["--members", few, predictions]
    for words, message in (
        ([nothing], "holds no .nii.gz file"),
        ([tmp_path / "absent"], "does not exist"),
        ([broken], "is a file: name a folder"),
        ([few, "--images", nothing], "holds no .nii.gz file"),
        ([few, "--images", other_images], "holds no image of any prediction"),
        ([few, "--rules", broken], "is no JSON"),
        ([few, "--rules", no_rules], "declares no anatomical_rules"),
        ([few, "--calibration", broken], "is no JSON"),
        ([few, "--calibration", rules], "is no calibration that acnn-nnunet wrote"),
        ([few, *calibration], "was made with other anatomical rules"),
        ([few, "--rules", rules, *members, *calibration], "was made without members: leave out --members"),
        ([few, "-djfile", no_rules], "-djfile goes without a prior"),
        ([few, "--members", few], "names one folder"),
        ([few, "--members", few, few], "names a folder twice"),
        ([few, "--members", few, other_images], "holds no prediction of these cases, such as phantom_tr000.nii.gz"),
        ([few, "--level", "1"], "--level 1: it is above 0 and below 1"),
        ([few, *calibration, "--calibrate", raw / "labelsTr"], "give one of them"),
        ([few, "--calibrate", raw / "labelsTr"], "needs 10 scored cases"),
        ([few, "--calibrate", raw / "labelsTr", "--recall", "2"], "The recall is 2"),
        ([few, "--calibrate", nothing], "holds no .nii.gz file"),
        ([few, "--calibrate", raw / "imagesTr"], "can be calibrated on; the first: phantom_tr000"),
        ([few, "-o", broken], "broken.json is a file: name a folder with -o"),
    ):
        assert run("-o", tmp_path / "out", *words, "--prior", prior) == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("acnn-nnunet plausibility: ")
        assert message in error
    assert not list((tmp_path / "out").glob("*.*"))  # no table, page or calibration; what was scored is kept


def test_another_priors_calibration_is_refused(calibrated, raw, rules, predictions, tmp_path, capsys):
    other = write_phantom_prior(raw, tmp_path / "results", steps=0)
    words = ["--rules", rules, "--images", raw / "imagesTr", "--calibration", calibrated / "calibration.json"]
    assert run(predictions, "--prior", other, *words, "-o", tmp_path / "out") == 1
    assert "was made with another prior" in capsys.readouterr().err


def test_patients_come_from_groups(raw, prior, predictions, tmp_path, capsys):
    groups = tmp_path / "groups.csv"
    rows = [f"phantom_tr{number:03d},patient{number // 2},,\n" for number in range(CASES)]
    groups.write_text("case,patient,phase,group\n" + "".join(rows))
    words = ["--calibrate", raw / "labelsTr", "--groups", groups]
    assert run(predictions, "--prior", prior, *words, "-o", tmp_path / "out") == 1
    assert "--level 0.9 needs 9 calibration patients; there are 7" in capsys.readouterr().err
    words += ["--level", "0.8", "--continue"]
    assert run(predictions, "--prior", prior, *words, "-o", tmp_path / "out") == 0
    measured = json.loads((tmp_path / "out" / "calibration.json").read_text())["measured"]
    assert measured["patients"] == CASES // 2


def test_a_table_of_groups_that_is_not_ours_costs_the_patients_only(tmp_path):
    (tmp_path / "labelsTr").mkdir()
    assert patients_of_cases(None, tmp_path / "labelsTr") == ({}, "")
    (tmp_path / "groups.csv").write_text("case,patient,phase,group\na,p1,,before\nb,p1,,after\n")

    patient_of, remark = patients_of_cases(None, tmp_path / "labelsTr")

    assert patient_of == {}
    assert remark.startswith(f"each case counts as a patient of its own: {tmp_path / 'groups.csv'}, line 3: patient p1")
    with pytest.raises(ValueError, match=r"groups\.csv, line 3: patient p1 is in group"):
        patients_of_cases(tmp_path / "groups.csv", tmp_path / "labelsTr")


def test_rules_are_those_of_the_priors_dataset(raw, prior, tmp_path):
    coder = load_coder(prior)
    assert subject_of_prior(coder, None).rules == ()
    coder.bundle.dataset_json["anatomical_rules"] = EIGHT_RULES
    assert len(subject_of_prior(coder, None).rules) == len(EIGHT_RULES)
    declared = tmp_path / "dataset.json"
    declared.write_text(json.dumps({"anatomical_rules": EIGHT_RULES[:1]}))
    assert len(subject_of_prior(coder, declared).rules) == 1


def members_of(predictions, folder, count=2):
    """Members: the predictions, each time with some more voxels of one label gone."""
    for index in range(count):
        (folder / f"m{index}").mkdir(parents=True)
        for number, file in enumerate(sorted(predictions.iterdir())):
            values = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
            values[:, : 6 + (index * (1 + number)) % 9] = 0
            write_like(folder / f"m{index}" / file.name, values, file)
    return [folder / f"m{index}" for index in range(count)]


def test_members_alone_need_no_prior_and_no_torch(raw, predictions, tmp_path, capsys):
    members = members_of(predictions, tmp_path)
    words = ["plausibility", predictions, "--members", *members, "-djfile", raw / "dataset.json"]
    words += ["--images", raw / "imagesTr", "--calibrate", raw / "labelsTr", "-o", tmp_path / "out"]
    script = (
        "import sys; from acnn_nnunet.cli import main; code = main(sys.argv[1:]); print('torch' in sys.modules, code)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, check=True
    ).stdout
    assert answer.splitlines()[-1] == "False 0", answer
    rows = rows_of(tmp_path / "out")
    assert len(rows) == CASES
    assert all(row["LV_expected_dice"] and row["LV_members_distance_mm"] for row in rows.values())
    assert json.loads((tmp_path / "out" / "calibration.json").read_text())["sources"] == ["members"]
    assert "no shape prior" in (tmp_path / "out" / "report.html").read_text()
    calibration = ["--calibration", tmp_path / "out" / "calibration.json", "-o", tmp_path / "judged"]
    assert run(predictions, "--members", *members, *calibration, "-djfile", raw / "dataset.json") == 0
    assert run(predictions, "--members", *members, predictions, *calibration, "-djfile", raw / "dataset.json") == 1
    assert f"was made with {len(members)} members, not with {len(members) + 1}" in capsys.readouterr().err


def test_nothing_to_score_by_is_said(raw, predictions, tmp_path, capsys):
    assert run(predictions, "-djfile", raw / "dataset.json", "-o", tmp_path / "out") == 1
    assert "Nothing to score by: name a prior" in capsys.readouterr().err
    assert run(predictions, "-o", tmp_path / "out") == 1
    assert "-djfile names the one that says the labels" in capsys.readouterr().err


def test_a_run_goes_on_where_it_stopped(raw, predictions, tmp_path, monkeypatch, capsys):
    folder = copy_some(predictions, tmp_path / "pred", 4)
    words = [
        folder,
        "--members",
        *members_of(folder, tmp_path),
        "-djfile",
        raw / "dataset.json",
        "-o",
        tmp_path / "out",
    ]
    assert run(*words) == 0
    before = (tmp_path / "out" / "plausibility.csv").read_text()
    journal = tmp_path / "out" / "parts" / "part_0_of_1.jsonl"
    lines = [line for line in journal.read_text().splitlines() if line]
    journal.write_text("\n".join(lines[:-2]) + "\n" + lines[-2][:40])  # killed while the third case was written
    scored, score = [], Scorer.score
    monkeypatch.setattr(Scorer, "score", lambda self, files: scored.append(files.case) or score(self, files))
    assert run(*words, "--continue") == 0
    assert scored == ["phantom_tr002", "phantom_tr003"]
    assert (tmp_path / "out" / "plausibility.csv").read_text() == before
    # A file that has changed is scored again; members that have changed make another run.
    write_like(folder / "phantom_tr001.nii.gz", np.ones((8, 20, 20)), folder / "phantom_tr001.nii.gz")
    assert run(*words, "--continue") == 0
    assert scored[2:] == ["phantom_tr001"]
    words[2] = predictions
    assert run(*words, "--continue") == 1
    assert "another members" in capsys.readouterr().err


def test_rules_alone_order_the_cases_and_let_them_be_scrolled_through(raw, rules, predictions, tmp_path):
    folder = copy_some(predictions, tmp_path / "pred", 2)  # the second is misshapen
    words = ["--rules", rules, "-djfile", raw / "dataset.json", "--images", raw / "imagesTr"]

    assert run(folder, *words, "-o", tmp_path / "out") == 0

    assert list(rows_of(tmp_path / "out")) == ["phantom_tr001", "phantom_tr000"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('class="look" data-case="') == 2
    assert "in the order of how much they break the rules" in " ".join(page.split())
    assert_self_contained(page)


def test_a_member_that_lacks_a_case_costs_that_case(raw, predictions, tmp_path, capsys):
    folder = copy_some(predictions, tmp_path / "pred", 3)
    members = members_of(folder, tmp_path)
    (members[1] / "phantom_tr001.nii.gz").unlink()
    assert run(folder, "--members", *members, "-djfile", raw / "dataset.json", "-o", tmp_path / "out") == 1
    rows = rows_of(tmp_path / "out")
    assert rows["phantom_tr001"]["reason"] == f"the member {members[1]} holds no phantom_tr001.nii.gz"
    assert "2 predictions scored, 0 empty, 1 left out" in capsys.readouterr().out


def test_parts_give_what_one_run_gives(raw, predictions, tmp_path):
    folder = copy_some(predictions, tmp_path / "pred", 3)
    words = [folder, "--members", *members_of(folder, tmp_path), "-djfile", raw / "dataset.json", "-o"]
    assert run(*words, tmp_path / "one") == 0
    for part_id in (0, 1):
        assert run(*words, tmp_path / "parts", "-num_parts", 2, "-part_id", part_id) == 0

    assert main(["merge", str(tmp_path / "parts")]) == 0

    for name in ("plausibility.csv", "report.html", "status.csv"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
