"""`acnn-nnunet refine` on folders of phantom hearts as nnUNetv2_predict writes them."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everyone writes it
from phantom_prior import write_phantom_prior, write_raw

from acnn_nnunet.cli import main
from acnn_nnunet.refinement import command, completion

CASES = 5


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("raw"), cases=CASES)


@pytest.fixture(scope="module")
def prior(raw, tmp_path_factory):
    return write_phantom_prior(raw, tmp_path_factory.mktemp("results"), steps=60)


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(completion, "SAMPLES", 100)


@pytest.fixture
def predictions(raw, tmp_path):
    """Labels as predictions with probabilities, the slice in the middle of the first missing."""
    folder = tmp_path / "predictions"
    folder.mkdir()
    for number, file in enumerate(sorted((raw / "labelsTr").iterdir())):
        image = sitk.ReadImage(str(file))
        values = sitk.GetArrayFromImage(image)
        if number == 0:
            slices = np.flatnonzero(values.any(axis=(1, 2)))
            values[slices[len(slices) // 2]] = 0
        write(folder, file.name, values, image)
    shutil.copy(raw / "dataset.json", folder)
    return folder


def write(folder, name, values, like):
    image = sitk.GetImageFromArray(values.astype(np.uint8))
    image.CopyInformation(like)
    sitk.WriteImage(image, str(folder / name))
    case = name.removesuffix(".nii.gz")
    hard = np.stack([values == label for label in range(4)]).astype(np.float32)
    np.savez_compressed(folder / f"{case}.npz", probabilities=0.9 * hard + 0.025)
    (folder / f"{case}.pkl").write_bytes(b"")


def run(*words):
    return main(["refine", *map(str, words)])


def rows_of(output):
    with open(output / "refined.csv", newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def array(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_every_case_is_written_and_told_of(predictions, raw, prior, tmp_path, capsys):
    output = tmp_path / "out"

    assert run(predictions, "--prior", prior, "-o", output) == 0

    said = capsys.readouterr().out
    assert f"{CASES} refined (of {CASES})" in said
    assert "Without a calibration, predictions that hardly resemble" in said
    rows = rows_of(output)
    assert list(rows) == [file.name.removesuffix(".nii.gz") for file in sorted(predictions.glob("*.nii.gz"))]
    first = next(iter(rows))
    before, after = array(predictions / f"{first}.nii.gz"), array(output / f"{first}.nii.gz")
    assert int(rows[first]["changed_voxels"]) == np.count_nonzero(before != after) > 0
    assert rows[first]["probabilities"] == "yes"
    missing = array(raw / "labelsTr" / f"{first}.nii.gz").any(axis=(1, 2)) & ~before.any(axis=(1, 2))
    assert after[missing].any()
    assert sitk.ReadImage(str(output / f"{first}.nii.gz")).GetSpacing() == pytest.approx(
        sitk.ReadImage(str(predictions / f"{first}.nii.gz")).GetSpacing()
    )
    page = (output / "refined.html").read_text()
    assert first in page
    assert "data:image/svg+xml" in page
    assert 'class="look" data-case=' in page
    assert json.loads((output / "dataset.json").read_text())["labels"]["background"] == 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder, case: (folder / f"{case}.pkl").unlink(), "has no CASE.pkl beside it"),
        (lambda folder, case: (folder / f"{case}.npz").write_bytes(b"PK\x03\x04"), "CASE.npz cannot be read"),
        (lambda folder, case: np.savez(folder / f"{case}.npz", softmax=np.zeros(3)), "CASE.npz holds no probabilities"),
        (
            lambda folder, case: np.savez(folder / f"{case}.npz", probabilities=np.zeros((3, 8, 20, 20))),
            r"holds probabilities of \(3, 8, 20, 20\)",
        ),
        (lambda folder, case: reorder(folder / f"{case}.npz"), "do not belong together: .* in another order"),
        (lambda folder, case: (folder / f"{case}.nii.gz").write_bytes(b"no volume"), "CASE.nii.gz"),
        (lambda folder, case: relabel(folder / f"{case}.nii.gz"), "CASE.nii.gz holds the label 9"),
    ],
)
def test_a_case_whose_files_are_of_no_use_costs_that_case_only(predictions, prior, tmp_path, capsys, spoil, message):
    case = "phantom_tr001"
    spoil(predictions, case)

    assert run(predictions, "--prior", prior, "-o", tmp_path / "out") == 1

    said = capsys.readouterr().out
    assert (
        f"{CASES - 1} refined, 1 excluded" in said or f"1 excluded, {CASES - 1} refined" in said or "excluded" in said
    )
    rows = rows_of(tmp_path / "out")
    assert rows[case]["status"] == "excluded"
    assert re.search(message.replace("CASE", case), rows[case]["reason"])
    assert not (tmp_path / "out" / f"{case}.nii.gz").exists()
    assert sum(row["status"] == "refined" for row in rows.values()) == CASES - 1


def reorder(path):
    with np.load(path) as content:
        probabilities = content["probabilities"]
    np.savez(path, probabilities=probabilities[[1, 0, 2, 3]])


def relabel(path):
    image = sitk.ReadImage(str(path))
    image[0, 0, 0] = 9
    sitk.WriteImage(image, str(path))


def test_an_empty_prediction_is_written_as_it_is_and_counted(predictions, prior, tmp_path, capsys):
    file = predictions / "phantom_tr002.nii.gz"
    write(predictions, file.name, np.zeros_like(array(file)), sitk.ReadImage(str(file)))

    assert run(predictions, "--prior", prior, "-o", tmp_path / "out") == 0

    assert "1 left" in (said := capsys.readouterr().out)
    assert "left: phantom_tr002: nothing is predicted" in said
    assert not array(tmp_path / "out" / file.name).any()


def test_another_dataset_is_refused(predictions, prior, tmp_path, capsys):
    content = json.loads((predictions / "dataset.json").read_text())
    labels = list(content["labels"].items())
    swapped = dict([labels[0], (labels[1][0], labels[2][1]), (labels[2][0], labels[1][1]), *labels[3:]])
    (predictions / "dataset.json").write_text(json.dumps({**content, "labels": swapped}))

    assert run(predictions, "--prior", prior, "-o", tmp_path / "out") == 1

    assert "has other labels than the prior" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_plans_of_another_dataset_are_refused(predictions, prior, tmp_path, capsys):
    (predictions / "plans.json").write_text(json.dumps({"dataset_name": "Dataset001_Other"}))

    assert run(predictions, "--prior", prior, "-o", tmp_path / "out") == 1

    assert "is of Dataset001_Other, the prior" in capsys.readouterr().err


def test_no_folder_no_predictions_and_the_same_folder_are_refused(predictions, prior, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for source, output, message in (
        (tmp_path / "nowhere", "out", "does not exist"),
        (tmp_path / "empty", "out", "holds no label map"),
        (predictions, "predictions", "choose another one with -o"),
    ):
        assert run(source, "--prior", prior, "-o", tmp_path / output) == 1
        assert message in capsys.readouterr().err


def test_after_a_kill_the_rest_is_done(predictions, prior, tmp_path, monkeypatch, capsys):
    output, written = tmp_path / "out", []
    write_one = command.write_label_map

    def killed(values, properties, target, bundle):
        if len(written) == 2:
            (output / ".partial-phantom_tr002.nii.gz").write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(target.name)
        write_one(values, properties, target, bundle)

    monkeypatch.setattr(command, "write_label_map", killed)
    with pytest.raises(KeyboardInterrupt):
        command.refine(predictions, output, command.RefineOptions(prior_file=prior))
    monkeypatch.setattr(command, "write_label_map", write_one)
    (output / written[1]).unlink()  # and what was not finished is done again
    before = (output / written[0]).stat().st_mtime_ns

    assert run(predictions, "--prior", prior, "-o", output, "--continue_prediction") == 0

    assert f"{CASES} refined (of {CASES})" in capsys.readouterr().out
    assert (output / written[0]).stat().st_mtime_ns == before
    assert len(rows_of(output)) == CASES
    assert len(list(output.glob("phantom*.nii.gz"))) == CASES


def test_going_on_with_another_prior_is_refused(predictions, prior, tmp_path, capsys):
    output = tmp_path / "out"
    assert run(predictions, "--prior", prior, "-o", output) == 0
    journal = output / "parts" / "part_0_of_1.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([json.dumps({**json.loads(lines[0]), "prior_sha256": "0"}), *lines[1:]]) + "\n")

    assert run(predictions, "--prior", prior, "-o", output, "--continue_prediction") == 1

    assert "holds a run with another prior_sha256 (0 instead of" in capsys.readouterr().err


def test_parts_give_what_one_run_gives(predictions, prior, tmp_path):
    words = (predictions, "--prior", prior, "-o")
    assert run(*words, tmp_path / "one") == 0
    for part_id in (0, 1):
        assert run(*words, tmp_path / "parts", "-num_parts", 2, "-part_id", part_id) == 0

    assert main(["merge", str(tmp_path / "parts")]) == 0

    for name in ("refined.csv", "status.csv"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert (tmp_path / "parts" / "refined.html").is_file()


def test_a_calibration_is_made_and_refines_and_its_misuse_is_refused(raw, prior, tmp_path, capsys):
    many = tmp_path / "many"
    many.mkdir()
    for number in range(10):  # ten cases of the same five hearts
        file = sorted((raw / "labelsTr").iterdir())[number % CASES]
        image = sitk.ReadImage(str(file))
        write(many, f"case{number}.nii.gz", sitk.GetArrayFromImage(image), image)
    truth, calibrated = tmp_path / "truth", tmp_path / "calibrated"
    shutil.copytree(many, truth)
    for case, change in (("moved", lambda image: image.SetOrigin((0, 0, 50))), ("odd", lambda image: image + 250)):
        shutil.copy(many / "case0.nii.gz", many / f"{case}.nii.gz")
        image = sitk.ReadImage(str(many / "case0.nii.gz"))
        sitk.WriteImage(change(image) or image, str(truth / f"{case}.nii.gz"))

    assert run(many, "--prior", prior, "-o", calibrated, "--calibrate", truth) == 1

    told = capsys.readouterr().out
    assert "cross-validated by patient on 10 predictions" in told
    assert re.search(r"left out: moved: .*moved\.nii\.gz lies on another grid than .*: origin", told)
    assert re.search(r"left out: odd: .*odd\.nii\.gz holds the label 250", told)
    assert "What it gains" in (calibrated / "refined.html").read_text()
    file = calibrated / "refinement.json"
    assert run(many, "--prior", prior, "-o", tmp_path / "again", "--calibrate", truth, "-np", "2") == 1
    assert "cross-validated by patient on 10 predictions" in capsys.readouterr().out
    assert (tmp_path / "again" / "refinement.json").is_file()
    assert run(many, "--prior", prior, "-o", tmp_path / "part", "--calibrate", truth, "-num_parts", "2") == 1
    assert "--calibrate learns from all cases at once" in capsys.readouterr().err
    assert not (tmp_path / "part").exists()
    assert run(many, "--prior", prior, "-o", tmp_path / "out", "--calibration", file) == 0
    assert "Without a calibration" not in capsys.readouterr().out
    file.write_text(json.dumps({**json.loads(file.read_text()), "methods": ["complete+project"]}))
    assert run(many, "--prior", prior, "-o", tmp_path / "out1", "--calibration", file) == 1
    assert "chose among methods of an earlier version (complete+project)" in capsys.readouterr().err
    file.write_text(json.dumps({**json.loads(file.read_text()), "prior_sha256": "0"}))
    assert run(many, "--prior", prior, "-o", tmp_path / "out2", "--calibration", file) == 1
    assert "was made with another prior" in capsys.readouterr().err
