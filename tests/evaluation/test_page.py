"""The page: one file, everything left out by name, the worst cases in pictures."""

import re

import numpy as np
import pytest
from label_folders import evaluated, heart, make_folders, write_labels
from self_contained import assert_self_contained

from acnn_nnunet.evaluation.masks.scores import LabelScores
from acnn_nnunet.evaluation.page import ScoreColumns, table_rows, write_report
from acnn_nnunet.evaluation.pictures import look_at_worst
from acnn_nnunet.evaluation.plan import plan_evaluation
from acnn_nnunet.evaluation.summary import summarise


def score(case, label, dice, hausdorff_mm, status="ok"):
    return LabelScores(case, label, status, dice, dice, hausdorff_mm, None, None, None, None, None, 1, 0)


def report_of(folders, path, *, images=None, forget=()):
    """Evaluate two folders, delete the predictions named in `forget`, and return the page."""
    plan = plan_evaluation(*folders, labels=None, ignore_label=None, dataset_json=None, tolerance_mm=1.0)
    entries = evaluated(plan, path.parent / "out")
    scored = [entry for entry in entries if entry["error"] is None]
    scores, cleaned = (
        [LabelScores(**values) for entry in scored for values in entry[which]]
        for which in ("scores", "scores_largest_component")
    )
    for case in forget:
        (folders[1] / f"{case}.nii.gz").write_bytes(b"")
    looked_at = look_at_worst(plan, scores, images=images)
    write_report(path, plan, summarise(plan, entries), scores, cleaned, looked_at=looked_at)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def folders(tmp_path):
    return make_folders(tmp_path)


def test_nothing_is_fetched(tmp_path, folders):
    page = report_of(folders, tmp_path / "report.html")

    sources = re.findall(r'(?:src|href)\s*=\s*"([^"]*)', page)
    assert len(sources) == 1 + 4  # the distributions and a picture of each case
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert_self_contained(page)
    assert "@import" not in page


def test_whatever_was_left_out_is_named(tmp_path, folders):
    (folders[1] / "case_1.nii.gz").unlink()
    write_labels(folders[1] / "case_2.nii.gz", heart(), spacing=(1, 1, 1))
    write_labels(folders[1] / "new.nii.gz", heart())

    page = report_of(folders, tmp_path / "report.html")

    assert "3 cases scored" in page
    assert re.search(r"1 cases could not be scored.*<b>case_2</b>: .*spacing", page, re.DOTALL)
    assert re.search(r"1 case has no prediction, scored as a miss:\s*case_1", page)
    assert re.search(r"1 predictions have no reference and are not scored:\s*new", page)
    assert "case_1: mean Dice 0.000, no prediction" in page


def test_worst_first(tmp_path, folders):
    page = report_of(folders, tmp_path / "report.html")

    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    # Label 1 is right everywhere; label 2 is 3, 2, 1 and 0 of 4 columns off.
    assert captions == [f"case_{index}: mean Dice {(1 + 1 - index / 4) / 2:.3f}" for index in (3, 2, 1, 0)]


def test_the_clean_up_has_a_table_where_it_changes_something(tmp_path, folders):
    assert "largest component" not in report_of(folders, tmp_path / "report.html")

    values = heart()
    values[0, 0, 9] = 2
    write_labels(folders[1] / "case_0.nii.gz", values)
    assert "Scores of the largest component of each label" in report_of(folders, tmp_path / "report.html")


def test_names_cannot_write_html(tmp_path, folders):
    name = "<img src=x onerror=alert(1)>&$x^$"
    for folder in folders:
        (folder / "case_1.nii.gz").rename(folder / f"{name}.nii.gz")
    (folders[1] / "case_2.nii.gz").rename(folders[1] / "<b>case_2.nii.gz")

    page = report_of(folders, tmp_path / "report.html")

    assert "<img src=x" not in page
    assert "<b>case_2" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;$x^$: mean Dice 0.875" in page


def test_a_picture_that_cannot_be_drawn_any_more_costs_no_table(tmp_path, folders):
    page = report_of(folders, tmp_path / "report.html", forget=["case_3"])

    assert re.search(r"case_3: mean Dice 0.625, no picture: .*case_3\.nii\.gz cannot be read", page)
    assert "case_2: mean Dice 0.750</figcaption>" in page


@pytest.mark.parametrize("shape", [(4, 12, 10), (4, 12, 9), (10, 12, 4)])  # the last has as many voxels
def test_pictures_lie_over_the_image_if_it_fits(tmp_path, folders, shape):
    plain = report_of(folders, tmp_path / "plain.html")
    for index in range(4):
        write_labels(tmp_path / "images" / f"case_{index}_0000.nii.gz", np.arange(np.prod(shape)).reshape(shape) / 7)
    write_labels(tmp_path / "images" / "case_1_0000.nii.gz", np.zeros(shape))
    (tmp_path / "images" / "case_1_0000.nii.gz").write_bytes(b"x")

    page = report_of(folders, tmp_path / "report.html", images=tmp_path / "images")

    changed = [
        ours != theirs
        for ours, theirs in zip(*(re.findall(r'<img src="([^"]*)', each) for each in (page, plain)), strict=True)
    ]
    assert re.search(r"case_1: mean Dice 0.875; without its image: .*case_1_0000\.nii\.gz cannot be read", page)
    if shape != (4, 12, 10):
        assert f"case_3_0000.nii.gz has {shape} voxels" in page
    # The distributions, then cases 3, 2, 1 and 0; the image of case 1 cannot be read.
    assert changed == ([False, True, True, False, True] if shape[2] == 10 else [False] * 5)


def test_a_row_of_the_table(folders):
    plan = plan_evaluation(*folders, labels=["LV=2", "9"], ignore_label=None, dataset_json=None, tolerance_mm=1.0)
    scores = [
        score("a", "2", 1.0, 1.0),
        score("b", "2", 0.5, 3.0),
        score("c", "2", 0.0, 8.0, "missed"),
        score("d", "2", None, None, "both_empty"),
        score("a", "9", 0.25, 2.0),
    ]

    left, nine = table_rows(ScoreColumns.of(plan, scores))

    # 1, 0.5 and 0: mean and median 0.5, standard deviation (of a sample) 0.5. 1, 3 and 8 mm: mean 4, squared deviations
    # 9 + 1 + 16 over 2 degrees of freedom.
    assert left.name == "LV (2)"
    assert [
        text.replace("\N{NO-BREAK SPACE}", " ") for text in (left.metrics[0], left.metrics[2], left.metrics[3])
    ] == [
        "0.500 ± 0.500 (0.500)",
        "4.00 ± 3.61 (3.00)",
        "–",
    ]
    assert (left.num_cases, left.missed, left.spurious, left.both_empty) == (3, 1, 0, 1)
    assert (nine.name, nine.metrics[0], nine.num_cases) == ("9", "0.250 (0.250)", 1)
