"""Cases one by one and in a pool: a bad file costs its own case, a dead worker costs nothing that was scored."""

import dataclasses

import label_folders
import numpy as np
import pytest
import tifffile
from label_folders import DIAGONAL_MM, SPACING, heart, make_folders, write_dataset, write_labels

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.journal import Journal
from acnn_nnunet.evaluation import cases as folder_evaluation
from acnn_nnunet.evaluation.cases import evaluate_case, evaluate_cases
from acnn_nnunet.evaluation.plan import plan_evaluation


@pytest.fixture
def folders(tmp_path):
    return make_folders(tmp_path)


def make_plan(folders, labels=None, ignore_label=None):
    return plan_evaluation(*folders, labels=labels, ignore_label=ignore_label, dataset_json=None, tolerance_mm=1.0)


def make_journal(tmp_path, plan):
    journal = Journal.of_part(tmp_path / "out", num_parts=1, part_id=0)
    journal.start(plan.header())
    return journal


def scores_of(entry, label):
    """Return the scores of a label in a journal's entry."""
    return next(scores for scores in entry["scores"] if scores["label"] == label)


def by_case(journal):
    return {entry["case"]: entry for entry in journal.entries()}


def finished(journal):
    return [entry for entry in journal.entries() if entry["error"] is None]


def refusal(plan, case):
    """Return why a case cannot be scored."""
    with pytest.raises(ValueError, match=r".") as caught:
        evaluate_case(plan, case)
    return str(caught.value)


def test_an_entry_holds_the_scores(folders):
    entry = evaluate_case(make_plan(folders), "case_1")

    assert entry["missing"] is False
    assert scores_of(entry, "2")["dice"] == 0.75  # a block of 4 columns, one off
    assert scores_of(entry, "2")["hausdorff_mm"] == 1.0
    assert scores_of(entry, "2")["true_positives"] == 24


def test_a_missing_prediction_is_a_miss(folders):
    (folders[1] / "case_1.nii.gz").unlink()

    entry = evaluate_case(make_plan(folders), "case_1")

    assert entry["missing"] is True
    assert scores_of(entry, "1")["status"] == "missed"
    assert scores_of(entry, "1")["hausdorff_mm"] == pytest.approx(DIAGONAL_MM)


@pytest.mark.parametrize(
    ("name", "geometry"),
    [
        ("size", {}),
        ("spacing", {"spacing": (1.0, 1.5, 5.0)}),
        ("origin", {"origin": (0, 0, 7)}),
        ("direction", {"direction": (-1, 0, 0, 0, -1, 0, 0, 0, 1)}),
    ],
)
def test_another_grid_is_refused_by_name(folders, name, geometry):
    values = heart()[:, 1:] if name == "size" else heart()
    write_labels(folders[1] / "case_1.nii.gz", values, **{"spacing": SPACING, **geometry})

    error = refusal(make_plan(folders), "case_1")

    assert f"case_1.nii.gz is not on its reference's grid: {name} (" in error
    assert ";" not in error  # only that differs


def test_slices_across_different_axes_lie_on_different_grids(folders):
    """Both are 8 × 8 voxels of 1 mm in space, and as flat arrays one shape."""
    plane = np.ones((8, 8), dtype=np.uint8)
    write_labels(folders[0] / "case_1.nii.gz", plane[None], spacing=(1, 1, 1))
    write_labels(folders[1] / "case_1.nii.gz", plane[:, None], spacing=(1, 1, 1))

    assert "size (8, 1, 8) against (1, 8, 8)" in refusal(make_plan(folders), "case_1")


def test_tiffs_of_which_neither_tells_a_size_are_refused(tmp_path):
    for folder in ("gt", "pred"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", heart(), photometric="minisblack")
    plan = make_plan((tmp_path / "gt", tmp_path / "pred"), ["1"])
    message = refusal(plan, "a")
    assert message.startswith(f"{tmp_path / 'gt' / 'a.tif'} does not tell how large its voxels are, and neither does")
    assert str(tmp_path / "gt" / "a.json") in message
    for folder in ("gt", "pred"):
        (tmp_path / folder / "a.json").write_text('{"spacing": [4.0, 1.5, 1.0]}')
    assert scores_of(evaluate_case(plan, "a"), "1")["dice"] == 1


@pytest.mark.parametrize("side", [0, 1])
def test_labels_that_the_dataset_does_not_have(folders, side):
    values = heart()
    values[0, 0, 0] = 5
    write_labels(folders[side] / "case_1.nii.gz", values)

    plan = make_plan(folders)

    assert (
        f"{folders[side].name}/case_1.nii.gz holds the labels 5, which the dataset does not have (it has 1, 2)"
        in refusal(plan, "case_1")
    )
    # Where a user names what is to be scored, the others are background.
    assert evaluate_case(make_plan(folders, ["1", "2"]), "case_1")["scores"]


def test_an_image_in_place_of_a_label_map_is_described_in_a_line(folders):
    write_labels(folders[1] / "case_1.nii.gz", np.arange(480).reshape(4, 12, 10).astype(np.int16))

    error = refusal(make_plan(folders), "case_1")

    assert "3, 4, 5, " in error
    assert ", …, which the dataset does not have" in error
    assert len(error) < 400


def test_the_ignore_label_is_for_references_only(tmp_path, folders):
    write_dataset(tmp_path, {**label_folders.LABELS, "ignore": 3})
    values = heart()
    values[0] = 3
    write_labels(folders[0] / "case_0.nii.gz", values)
    write_labels(folders[1] / "case_1.nii.gz", values)
    plan = make_plan(folders)

    assert scores_of(evaluate_case(plan, "case_0"), "1")["true_negatives"] == 360 - 32
    assert "holds the labels 3" in refusal(plan, "case_1")


def damage(folders):
    """Make each of the cases 1, 2 and 3 unreadable in another way."""
    reference, prediction = folders
    content = (prediction / "case_1.nii.gz").read_bytes()
    (prediction / "case_1.nii.gz").write_bytes(content[: len(content) // 2])
    write_labels(prediction / "case_2.nii.gz", heart().astype(np.float32) / 3)
    write_labels(reference / "case_3.nii.gz", heart().astype(np.int16) - 1)


@pytest.mark.parametrize("num_processes", [1, 2])
def test_bad_files_cost_their_own_case_only(tmp_path, folders, num_processes):
    damage(folders)
    plan = make_plan(folders)
    journal = make_journal(tmp_path, plan)

    evaluate_cases(plan, journal, list(plan.cases), execution=Execution(num_processes=num_processes))

    entries = by_case(journal)
    assert entries["case_0"]["error"] is None
    assert "case_1.nii.gz cannot be read" in entries["case_1"]["error"]
    assert "case_2.nii.gz holds the value 0.333333" in entries["case_2"]["error"]
    assert "labelsTs/case_3.nii.gz holds the negative label -1" in entries["case_3"]["error"]
    assert [entry["case"] for entry in finished(journal)] == ["case_0"]


def test_in_a_pool_as_one_by_one(tmp_path, folders):
    plan = make_plan(folders)
    alone, together = (make_journal(tmp_path / name, plan) for name in ("alone", "together"))

    evaluate_cases(plan, alone, list(plan.cases))
    evaluate_cases(plan, together, list(plan.cases), execution=Execution(num_processes=2))

    assert by_case(alone) == by_case(together)


def test_only_what_is_not_done_or_has_changed_is_scored(tmp_path, folders, monkeypatch):
    (folders[1] / "case_3.nii.gz").rename(tmp_path / "late.nii.gz")
    content = (folders[1] / "case_2.nii.gz").read_bytes()
    (folders[1] / "case_2.nii.gz").write_bytes(content[:-9])
    plan = make_plan(folders)
    journal = make_journal(tmp_path, plan)
    evaluate_cases(plan, journal, list(plan.cases))
    write_labels(folders[1] / "case_1.nii.gz", heart(3))  # another prediction
    (folders[1] / "case_2.nii.gz").write_bytes(content)  # the whole of it
    (tmp_path / "late.nii.gz").rename(folders[1] / "case_3.nii.gz")  # at last
    scored = []

    def evaluate(plan, case):
        scored.append(case)
        return evaluate_case(plan, case)

    monkeypatch.setattr(folder_evaluation, "evaluate_case", evaluate)
    evaluate_cases(plan, journal, list(plan.cases))

    assert scored == ["case_1", "case_2", "case_3"]
    entries = by_case(journal)
    assert scores_of(entries["case_1"], "2")["dice"] == 0.25
    assert entries["case_2"]["error"] is None
    assert entries["case_3"]["missing"] is False


def test_a_worker_that_dies_costs_its_own_case(tmp_path, folders, monkeypatch):
    plan = make_plan(folders)
    journal = make_journal(tmp_path, plan)
    monkeypatch.setattr(folder_evaluation, "evaluate_case", label_folders.die_at_case_2)

    evaluate_cases(plan, journal, list(plan.cases), execution=Execution(num_processes=2))

    monkeypatch.undo()
    assert "process was killed" in by_case(journal)["case_2"]["error"]
    assert sorted(entry["case"] for entry in finished(journal)) == ["case_0", "case_1", "case_3"]
    evaluate_cases(plan, journal, list(plan.cases))
    assert len(finished(journal)) == 4


def test_want_of_memory_costs_one_case(tmp_path, folders, monkeypatch):
    def fail(*arguments, **keywords):
        raise MemoryError

    plan = make_plan(folders)
    journal = make_journal(tmp_path, plan)
    monkeypatch.setattr(folder_evaluation, "score_case", fail)

    evaluate_cases(plan, journal, ["case_0"])

    assert by_case(journal)["case_0"]["error"] == "not enough memory: use a smaller -np"


def test_another_plan_keeps_its_own_entries(tmp_path, folders):
    plan = make_plan(folders)
    journal = make_journal(tmp_path, plan)
    few = dataclasses.replace(plan, cases=plan.cases[:2])

    evaluate_cases(few, journal, list(few.cases))

    assert set(by_case(journal)) == {"case_0", "case_1"}
