"""`acnn-nnunet evaluate` and `merge` as they are typed: results, refusals in a line, going on, parts."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from label_folders import DIAGONAL_MM, LABELS, heart, make_folders, write_dataset, write_labels
from skimage.io import imsave

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.cli import main
from acnn_nnunet.evaluation.anatomy.cases import read_anatomy
from acnn_nnunet.evaluation.command import EvaluationOptions, evaluate
from acnn_nnunet.evaluation.masks.table import read_scores


@pytest.fixture
def folders(tmp_path):
    return make_folders(tmp_path)


@pytest.fixture
def run(tmp_path, folders, capsys):
    """Run `evaluate` on the folders; return exit code, standard output and error."""

    def run(*words, reference=folders[0], prediction=folders[1], output=tmp_path / "out"):
        capsys.readouterr()
        code = main(["evaluate", str(reference), str(prediction), "-o", str(output), "-np", "1", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    return run


def refused(result):
    """Return the one line of a run that was refused."""
    code, out, err = result
    assert (code, out) == (1, "")
    assert len(err) == 1
    assert err[0].startswith("acnn-nnunet evaluate: ")
    return err[0]


def dice(output, label="2"):
    return {row.case: row.dice for row in read_scores(output / "cases.csv") if row.label == label}


def test_a_disk_that_is_full_and_then_not(tmp_path, run):
    """The system refuses to let a file grow: the run ends in a sentence, and goes on to the same tables."""
    resource = pytest.importorskip("resource")
    assert run(output=tmp_path / "undisturbed")[0] == 0
    half = (tmp_path / "undisturbed" / "parts" / "part_0_of_1.jsonl").stat().st_size // 2
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (half, limits[1]))
    try:
        message = refused(run())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "Could not write" in message
    assert "free some space or fix its permissions, then go on with --continue" in message
    assert not (tmp_path / "out" / "cases.csv").exists()

    assert run("--continue")[0] == 0

    for name in ("cases.csv", "status.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_the_whole_way(tmp_path, run):
    code, out, err = run()

    assert (code, err) == (0, [])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cases.csv",
        "cases_largest_component.csv",
        "parts",
        "report.html",
        "status.csv",
        "summary.json",
    ]
    assert (tmp_path / "out" / "status.csv").read_text().splitlines() == [
        "case,status,error",
        *(f"case_{index},done," for index in range(4)),
    ]
    assert dice(tmp_path / "out") == {"case_0": 1, "case_1": 0.75, "case_2": 0.5, "case_3": 0.25}
    assert set(dice(tmp_path / "out", "1").values()) == {1}
    rows = read_scores(tmp_path / "out" / "cases.csv")
    assert [(row.case, row.label) for row in rows] == [(f"case_{i}", label) for i in range(4) for label in "12"]
    assert [row.hausdorff_mm for row in rows if row.label == "2"] == [0, 1, 2, 3]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["mean"]["2"]["Dice"] == 0.625
    assert summary["foreground_mean"]["Dice"] == 0.8125
    # 1, 0.75, 0.5 and 0.25: the squared deviations sum to 0.3125, over 3 degrees of freedom.
    assert "| LV (2) | 0.625\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.323 (0.625) |" in out
    assert "could not be scored" not in out


def test_regions_and_the_ignore_label_of_a_dataset(tmp_path, folders, run):
    write_dataset(tmp_path, {"background": 0, "heart": [1, 2], "LV": 2, "ignore": 3})
    values = heart()
    values[:, 7:] = 3  # nobody annotated label 2 in case 3
    write_labels(folders[0] / "case_3.nii.gz", values)

    assert run()[0] == 0
    assert dice(tmp_path / "out") == {"case_0": 1, "case_1": 0.75, "case_2": 0.5, "case_3": None}
    # 64 voxels, of which 8 and 16 are off.
    assert dice(tmp_path / "out", "(1, 2)") == {"case_0": 1, "case_1": 56 / 64, "case_2": 48 / 64, "case_3": 1}


def test_labels_by_hand_and_the_ignore_label(tmp_path, folders, run):
    (tmp_path / "dataset.json").unlink()

    assert "There is no dataset.json" in refused(run())
    assert run("-l", "LV=2", "heart=1,2", "-il", 1)[2] == [
        "acnn-nnunet evaluate: (1, 2) cannot be scored: it is empty, negative, or holds background or ignored voxels."
    ]
    assert run("--labels", "LV=2", "heart=1,2", "-il", 9)[0] == 0
    assert dice(tmp_path / "out")["case_1"] == 0.75


def test_a_dataset_json_by_name(tmp_path, run):
    (tmp_path / "other").mkdir()
    path = write_dataset(tmp_path / "other", {"background": 0, "all": [1, 2], "right": 1})

    assert run("-djfile", path)[0] == 0
    assert dice(tmp_path / "out", "(1, 2)")["case_0"] == 1
    assert "There is no file" in refused(run("-djfile", tmp_path / "none.json", output=tmp_path / "b"))


def test_bad_files_are_named_and_cost_nothing_else(tmp_path, folders, run):
    content = (folders[1] / "case_1.nii.gz").read_bytes()
    (folders[1] / "case_1.nii.gz").write_bytes(content[:-20])
    write_labels(folders[1] / "case_2.nii.gz", heart(), spacing=(1, 1, 9))
    (folders[1] / "case_3.nii.gz").unlink()
    write_labels(folders[1] / "new.nii.gz", heart())

    code, out, err = run()

    assert (code, err) == (1, [])
    lines = [line for line in out.splitlines() if line.startswith("case_")]
    assert len(lines) == 2
    assert lines[0].startswith("case_1 could not be scored, counts nowhere: ")
    assert "spacing (9.0, 1.0, 1.0) against (4.0, 1.5, 1.0) mm (prediction, reference)" in lines[1]
    assert "1 without a prediction, scored as misses: case_3" in out
    assert "1 without a reference, not scored: new" in out
    assert dice(tmp_path / "out") == {"case_0": 1, "case_3": 0}
    missed = read_scores(tmp_path / "out" / "cases.csv")[-1]
    assert (missed.status, missed.hausdorff_mm) == ("missed", pytest.approx(DIAGONAL_MM))


def test_no_case_could_be_scored(tmp_path, folders, run):
    for path in folders[1].iterdir():
        path.write_text("x")

    assert "None of the 4 cases could be scored; the first: " in refused(run())
    assert not (tmp_path / "out" / "cases.csv").exists()


def test_a_case_of_one_and_labels_that_are_nowhere(tmp_path, run, folders):
    for folder in folders:
        for index in (1, 2, 3):
            (folder / f"case_{index}.nii.gz").unlink()

    code, said, *_ = run("--labels", "2", "7")
    assert code == 0
    assert "WARNING: no reference and no prediction holds 7." in said
    assert dice(tmp_path / "out", "7") == {"case_0": None}


def test_refusals_before_anything_is_written(tmp_path, folders, run):
    reference, prediction = folders
    (tmp_path / "file").write_text("")
    (prediction / "plans.json").write_text("{}")

    assert "given as reference and as prediction" in refused(run(prediction=reference))
    assert "are the folders swapped?" in refused(run(reference=prediction, prediction=reference))
    assert "does not exist" in refused(run(reference=tmp_path / "none"))
    assert "is a file" in refused(run(prediction=tmp_path / "file"))
    assert "at least one process" in refused(run("-np", 0))
    assert "-part_id 2 is no part of -num_parts 2" in refused(run("-num_parts", 2, "-part_id", 2))
    assert "is no part of -num_parts 0" in refused(run("-num_parts", 0))
    assert "--groups" in refused(run("--groups", tmp_path / "none.csv"))
    assert "--images" in refused(run("--images", tmp_path / "none"))
    assert "--labels x" in refused(run("--labels", "x"))
    (tmp_path / "dataset.json").write_text("{")
    assert "dataset.json is no JSON" in refused(run())
    assert not (tmp_path / "out").exists()


def test_an_output_that_holds_something_is_left_alone(tmp_path, run):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")

    assert "exists and is not empty: use --continue, or name another folder" in refused(run())
    assert "holds no run to go on with" in refused(run("--continue"))
    assert "file exists" in refused(run(output=tmp_path / "file"))
    assert "Could not write" in refused(run(output=tmp_path / "file" / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_an_evaluation_is_not_overwritten(tmp_path, run):
    run()
    before = (tmp_path / "out" / "cases.csv").stat().st_mtime_ns

    assert "use --continue" in refused(run())
    assert (tmp_path / "out" / "cases.csv").stat().st_mtime_ns == before


def files_of(output):
    return {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}


def test_going_on_after_a_kill(tmp_path, folders, run, monkeypatch):
    run()
    whole = files_of(tmp_path / "out")
    journal = tmp_path / "out" / "parts" / "part_0_of_1.jsonl"
    for name in whole:
        (tmp_path / "out" / name).unlink()
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines)[: -len(lines[-1]) // 2])  # the last case is half written

    assert "use --continue" in refused(run())
    from acnn_nnunet.evaluation import cases as folder_evaluation

    scored, evaluate_case = [], folder_evaluation.evaluate_case
    monkeypatch.setattr(
        folder_evaluation, "evaluate_case", lambda plan, case: scored.append(case) or evaluate_case(plan, case)
    )
    assert run("--continue")[0] == 0
    assert scored == ["case_3"]
    assert files_of(tmp_path / "out") == whole


def test_going_on_with_a_prediction_that_changed(tmp_path, folders, run):
    run()
    write_labels(folders[1] / "case_0.nii.gz", heart(2))
    write_labels(folders[0] / "case_7.nii.gz", heart())  # and a new case

    assert run("--continue")[0] == 0
    assert dice(tmp_path / "out") == {"case_0": 0.5, "case_1": 0.75, "case_2": 0.5, "case_3": 0.25, "case_7": 0}


@pytest.mark.parametrize(
    ("words", "name"),
    [(["--tolerance", 3], "tolerance_mm (2.0 instead of 3.0)"), (["--labels", "2"], "labels ([1, 2] instead of [2])")],
)
def test_other_settings_do_not_go_on(tmp_path, run, words, name):
    run()

    assert f"holds a run with another {name}" in refused(run("--continue", *words))


def test_other_folders_do_not_go_on(tmp_path, folders, run):
    run()
    folders[1].rename(tmp_path / "moved")

    assert "with another prediction" in refused(run("--continue", prediction=tmp_path / "moved"))


def test_pictures_may_come_later(tmp_path, run):
    run()
    write_labels(tmp_path / "imagesTs" / "case_3_0000.nii.gz", heart() * 50)

    assert run("--continue")[0] == 0


def test_going_on_where_nothing_was_begun(tmp_path, run):
    assert run("--continue")[0] == 0
    assert len(dice(tmp_path / "out")) == 4


def test_a_journal_without_header(tmp_path, run):
    run()
    journal = tmp_path / "out" / "parts" / "part_0_of_1.jsonl"
    journal.write_text('{"refer\n{"case": "case_0"}\n')

    assert "has no readable header: delete it" in refused(run("--continue"))
    journal.write_text('{"refer')  # a kill came before the first line was whole: nothing is lost
    assert run("--continue")[0] == 0


def merge(output, capsys):
    capsys.readouterr()
    code = main(["merge", str(output)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_parts_give_what_one_run_gives(tmp_path, run, capsys, folders):
    (folders[1] / "case_2.nii.gz").unlink()
    (folders[1] / "case_3.nii.gz").write_text("x")
    run(output=tmp_path / "whole")

    for part_id in range(3):
        code, out, _ = run("-num_parts", 3, "-part_id", part_id, output=tmp_path / "parts")
        assert (code, f"Part {part_id} of 3 is done" in out) == (int(part_id == 0), True)
        assert ("case_3 failed: " in out) == (part_id == 0)  # with case 0
    code, out, _ = merge(tmp_path / "parts", capsys)

    assert code == 1  # case 3 could not be scored
    assert "case_3 could not be scored" in out
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")


def test_predictions_that_changed_since_their_part_are_not_merged(tmp_path, folders, run, capsys):
    for part_id in (0, 1):
        run("-num_parts", 2, "-part_id", part_id)
    path = folders[1] / "case_1.nii.gz"
    os.utime(path, ns=(1, 1))

    code, _, err = merge(tmp_path / "out", capsys)
    assert code == 1
    assert "1 cases (case_1, …) have changed since they were scored: finish the parts in" in err

    run("-num_parts", 2, "-part_id", 1, "--continue")
    assert merge(tmp_path / "out", capsys)[0] == 0


def test_more_parts_than_cases(tmp_path, run, capsys):
    for part_id in range(6):
        run("-num_parts", 6, "-part_id", part_id)

    assert merge(tmp_path / "out", capsys)[0] == 0
    assert len(dice(tmp_path / "out")) == 4


def test_chill_leaves_references_without_a_prediction_alone(tmp_path, run, folders):
    removed = sorted(folders[1].glob("*.nii.gz"))[0]
    removed.unlink()
    case = removed.name.removesuffix(".nii.gz")

    assert run()[0] == 0
    assert dice(tmp_path / "out")[case] == 0

    code, out, _ = run("--chill", output=tmp_path / "chill")
    assert code == 0
    assert "no prediction" not in out
    assert case not in dice(tmp_path / "chill")
    assert len(dice(tmp_path / "chill")) == len(dice(tmp_path / "out")) - 1


def test_merge_says_what_is_missing(tmp_path, run, capsys):
    assert "holds no parts" in merge(tmp_path / "out", capsys)[2]
    run("-num_parts", 3, "-part_id", 1)

    code, out, err = merge(tmp_path / "out", capsys)
    assert (code, out) == (1, "")
    assert err == f"acnn-nnunet merge: Part 0, 2 of 3 is missing in {tmp_path / 'out'}: run -part_id 0.\n"

    for part_id in (0, 2):
        run("-num_parts", 3, "-part_id", part_id)
    path = tmp_path / "out" / "parts" / "part_2_of_3.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    assert (
        "part_2_of_3.jsonl lacks 1 cases (case_2, …): finish it with --continue" in merge(tmp_path / "out", capsys)[2]
    )
    run("-num_parts", 3, "-part_id", 2, "--continue")
    assert merge(tmp_path / "out", capsys)[0] == 0


def test_merge_refuses_parts_of_different_evaluations(tmp_path, folders, run, capsys):
    run("-num_parts", 2, "-part_id", 0)
    run("-num_parts", 2, "-part_id", 1, "--tolerance", 5)

    assert "are of different runs" in merge(tmp_path / "out", capsys)[2]

    run("-num_parts", 3, "-part_id", 1)
    assert "holds parts of [2, 3]" in merge(tmp_path / "out", capsys)[2]


def test_parts_that_go_on_take_in_new_cases(tmp_path, folders, run, capsys):
    for part_id in (0, 1):
        run("-num_parts", 2, "-part_id", part_id)
    for folder in folders:
        write_labels(folder / "a_new_case.nii.gz", heart())  # comes first, so all others change their part

    run("-num_parts", 2, "-part_id", 0, "--continue")
    assert "are of different runs" in merge(tmp_path / "out", capsys)[2]
    run("-num_parts", 2, "-part_id", 1, "--continue")
    assert merge(tmp_path / "out", capsys)[0] == 0
    assert dice(tmp_path / "out") == {"a_new_case": 1, "case_0": 1, "case_1": 0.75, "case_2": 0.5, "case_3": 0.25}


FOREIGN_GROUPS = "case,patient,phase,group\ncase_0,p1,,baseline\ncase_1,p1,,follow-up\n"


def test_a_table_of_groups_that_is_not_ours_costs_the_indices_only(tmp_path, run):
    (tmp_path / "groups.csv").write_text(FOREIGN_GROUPS)

    code, out, err = run()

    note = f"No clinical indices: {tmp_path / 'groups.csv'}, line 3: patient p1 is in group 'follow-up' here"
    assert (code, err) == (0, [])
    assert sum(line.startswith(note) and "name another with --groups" in line for line in out.splitlines()) == 1
    assert dice(tmp_path / "out") == {"case_0": 1, "case_1": 0.75, "case_2": 0.5, "case_3": 0.25}
    assert "No clinical indices" in (tmp_path / "out" / "report.html").read_text()
    assert not (tmp_path / "out" / "clinical.csv").exists()
    # Once the table is put right, the indices come without scoring again.
    (tmp_path / "groups.csv").write_text("case,patient,phase,group\ncase_0,p1,ED,a\ncase_1,p1,ES,a\n")
    assert "No clinical indices" not in run("--continue")[1]
    assert (tmp_path / "out" / "clinical.csv").exists()


def test_indices_of_an_earlier_table_do_not_stay(tmp_path, run):
    table = "case,patient,phase,group\ncase_0,p1,ED,a\ncase_1,p1,ES,a\n"
    (tmp_path / "mine.csv").write_text(table)
    run("--groups", tmp_path / "mine.csv")
    assert (tmp_path / "out" / "clinical.json").exists()

    # Each case has a name that was not evaluated: this is told, where a table of groups alone says nothing.
    (tmp_path / "mine.csv").write_text(table.replace("case_", "case_0"))
    out = run("--groups", tmp_path / "mine.csv", "--continue")[1]
    assert "No clinical indices: None of the cases with a phase was evaluated (case_00, …; evaluated were case_0" in out
    assert not (tmp_path / "out" / "clinical.csv").exists()
    assert not (tmp_path / "out" / "clinical.json").exists()
    (tmp_path / "mine.csv").write_text("case,group\ncase_0,a\n")
    assert "No clinical indices" not in run("--groups", tmp_path / "mine.csv", "--continue")[1]


def test_a_table_of_groups_that_is_named_is_refused_before_scoring(tmp_path, run):
    (tmp_path / "mine.csv").write_text(FOREIGN_GROUPS)

    assert "mine.csv, line 3: patient p1 is in group" in refused(run("--groups", tmp_path / "mine.csv"))
    assert not (tmp_path / "out").exists()


def test_parts_merge_where_the_table_of_groups_is_gone(tmp_path, run, capsys):
    (tmp_path / "groups.csv").write_text(FOREIGN_GROUPS)
    for part_id in (0, 1):
        run("-num_parts", 2, "-part_id", part_id)
    (tmp_path / "groups.csv").unlink()

    code, out, _ = merge(tmp_path / "out", capsys)

    assert code == 0
    assert "No clinical indices: There is no" in out


def test_a_folder_that_is_a_link_counts_as_it_was_named(tmp_path, folders, run):
    reference, prediction = folders
    here = tmp_path / "here"
    here.mkdir()
    write_dataset(here, {"background": 0, "heart": [1, 2]})
    (here / "labelsTs").symlink_to(reference)
    (here / "predicted").symlink_to(prediction)
    (here / "groups.csv").write_text("case,patient,phase,group\n")

    assert run(reference=here / "labelsTs", prediction=here / "predicted")[0] == 0

    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert list(summary["mean"]) == ["(1, 2)"]  # not the RV and LV of the dataset that the link leads to
    journal = (tmp_path / "out" / "parts" / "part_0_of_1.jsonl").read_text()
    assert json.loads(journal.splitlines()[0])["groups"] == str(here / "groups.csv")


def test_parts_of_one_folder_under_two_names_belong_together(tmp_path, folders, run, capsys):
    (tmp_path / "link").symlink_to(folders[1])

    run("-num_parts", 2, "-part_id", 0)
    run("-num_parts", 2, "-part_id", 1, prediction=tmp_path / "link")

    assert merge(tmp_path / "out", capsys)[0] == 0
    assert len(dice(tmp_path / "out")) == 4


def test_going_on_by_another_name_of_the_folder(tmp_path, folders, run):
    run()
    (tmp_path / "link").symlink_to(folders[1])

    assert run("--continue", prediction=tmp_path / "link")[0] == 0


def forget_scores(journal):
    """Give every entry the keys that it had before `scores`: `labels`, with the scores of each label by its name."""
    header, *entries = [json.loads(line) for line in journal.read_text().splitlines() if line]
    labels = {"1": {"status": "found", "dice": 1.0, "hausdorff_mm": 0.0}}
    kept = ("case", "stamp", "error", "missing")
    old = [{**{key: entry[key] for key in kept}, "labels": labels} for entry in entries]
    journal.write_text("".join(json.dumps(line) + "\n" for line in (header, *old)))


def test_parts_of_an_earlier_version_are_finished_first(tmp_path, run, capsys):
    for part_id in (0, 1):
        run("-num_parts", 2, "-part_id", part_id)
    journal = tmp_path / "out" / "parts" / "part_1_of_2.jsonl"
    forget_scores(journal)

    code, out, err = merge(tmp_path / "out", capsys)

    assert (code, out) == (1, "")
    written = f"The parts in {tmp_path / 'out'} were written by an earlier version"
    assert err == f"acnn-nnunet merge: {written}: finish them with --continue.\n"
    assert not (tmp_path / "out" / "cases.csv").exists()


def test_going_on_scores_the_cases_of_an_earlier_version_again(tmp_path, run, capsys):
    run("-num_parts", 1, "-part_id", 0)
    forget_scores(tmp_path / "out" / "parts" / "part_0_of_1.jsonl")

    assert run("--continue")[0] == 0
    assert dice(tmp_path / "out") == {"case_0": 1, "case_1": 0.75, "case_2": 0.5, "case_3": 0.25}
    assert merge(tmp_path / "out", capsys)[0] == 0


def write_format(path, values, ending):
    if ending == ".png":
        imsave(f"{path}.png", values[1], check_contrast=False)
    elif ending == ".tif":
        tifffile.imwrite(f"{path}.tif", values, photometric="minisblack")
        path.with_suffix(".json").write_text('{"spacing": [4.0, 1.5, 1.0]}')
    else:
        write_labels(f"{path}{ending}", values)


@pytest.mark.parametrize("ending", [".mha", ".nrrd", ".png", ".tif"])
def test_other_formats_that_the_host_reads(tmp_path, run, ending):
    for folder in ("gt", "pred"):
        (tmp_path / "formats" / folder).mkdir(parents=True)
        for index in range(2):
            write_format(tmp_path / "formats" / folder / f"case_{index}", heart(index * (folder == "pred")), ending)
    (tmp_path / "formats" / "gt" / f"broken{ending}").write_bytes(b"II*\0")
    write_dataset(tmp_path / "formats", LABELS, file_ending=ending)

    code, out, _ = run(reference=tmp_path / "formats" / "gt", prediction=tmp_path / "formats" / "pred")

    assert code == 1
    assert out.count("could not be scored") == 1
    rows = [row for row in read_scores(tmp_path / "out" / "cases.csv") if row.label == "2"]
    assert [(row.case, row.dice, row.hausdorff_mm) for row in rows] == [("case_0", 1, 0), ("case_1", 0.75, 1)]
    # 2 × 4 × 4 voxels of 6 mm³; a flat picture has no volume.
    assert rows[0].volume_reference_ml == (None if ending == ".png" else pytest.approx(0.192))


def test_in_a_pool(tmp_path, folders, run):
    run(output=tmp_path / "one")

    evaluate(*folders, tmp_path / "two", EvaluationOptions(execution=Execution(num_processes=2)))

    for name in ("cases.csv", "cases_largest_component.csv", "summary.json", "report.html"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_neither_the_command_nor_its_workers_load_torch(tmp_path, folders):
    script = tmp_path / "probe.py"
    script.write_text(
        "import json, sys\n"
        "from functools import partial\n"
        "from pathlib import Path\n"
        "HEAVY = ('torch', 'pandas', 'sklearn', 'skimage', 'monai')\n"
        "def loaded(plan, case):\n"
        "    from acnn_nnunet.evaluation.cases import evaluate_case\n"
        "    assert evaluate_case(plan, case)['scores']\n"
        "    return [name for name in HEAVY if name in sys.modules]\n"
        "if __name__ == '__main__':\n"
        "    from acnn_nnunet.cli import main\n"
        "    assert main(['evaluate', *sys.argv[1:]]) == 0\n"
        "    from acnn_nnunet.casewise.execution import Execution\n"
        "    from acnn_nnunet.casewise.run import run\n"
        "    from acnn_nnunet.evaluation import plan as evaluation_plan\n"
        "    plan = evaluation_plan.plan_evaluation(\n"
        "        *map(Path, sys.argv[1:3]), labels=None, ignore_label=None, dataset_json=None, tolerance_mm=2.0)\n"
        "    two = Execution(num_processes=2)\n"
        "    results = run(partial(loaded, plan), {case: case for case in plan.cases}, execution=two)\n"
        "    workers = [result.value for result in results]\n"
        "    heavy = [name for name in HEAVY if name in sys.modules]\n"
        "    (Path(sys.argv[4]) / 'found.json').write_text(json.dumps([heavy, *workers]))\n"
    )
    output = tmp_path / "out"
    arguments = [*map(str, folders), "-o", str(output), "-np", "1"]

    subprocess.run([sys.executable, str(script), *arguments], check=True, capture_output=True, env=os.environ)

    main_process, *workers = json.loads((output / "found.json").read_text())
    assert "torch" not in main_process
    assert len(workers) == 4
    assert not any("torch" in each for each in workers)


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom acnn_nnunet.cli import main\n"
        "try:\n    main(['evaluate', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('numpy', 'torch', 'nnunetv2', 'SimpleITK', 'matplotlib') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert "usage: acnn-nnunet evaluate" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_labels_beyond_a_byte(tmp_path, folders, run):
    for folder in folders:
        for index in range(4):
            write_labels(folder / f"case_{index}.nii.gz", heart().astype(np.uint16) * 300)

    assert run("--labels", "600", "300")[0] == 0
    assert set(dice(tmp_path / "out", "600").values()) == {1}


def test_rules_that_are_declared_make_a_table_of_cases(tmp_path, run):
    rules = [{"rule": "one_piece", "label": "LV", "in_plane": True}]
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    code, out, _ = run("--rules", tmp_path / "rules.json")
    assert code == 0
    assert "predictions break an anatomical rule" in out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["anatomy"]
    table = read_anatomy(tmp_path / "out" / "anatomy.csv")
    assert summary["cases"] == len(table)
    assert summary["implausible_slices"] == sum(case.implausible_slices for case in table.values())
    assert "Anatomical rules" in (tmp_path / "out" / "report.html").read_text()


def test_rules_and_piece_iou_are_refused_in_a_line(tmp_path, run):
    assert "no file acdcc" in refused(run("--rules", "acdcc"))
    assert "above 0 and at most 1" in refused(run("--piece-iou", "0"))
