"""`cases.csv`: what is written is read back, and what is no table of ours is refused by line."""

from dataclasses import replace

import pytest

from acnn_nnunet.evaluation.masks.scores import LabelScores
from acnn_nnunet.evaluation.masks.table import COLUMNS, LARGE_RUN, read_scores, write_scores

SCORED = LabelScores("a", "1", "ok", 0.1 + 0.2, 1 / 3, 2.5, 2.0, 1e-9, 1.0, 12.0, 11.0, 2, 0)
EMPTY = LabelScores("a", "(1, 2)", "both_empty", None, None, None, None, None, None, None, None, 0, 0)


def test_the_columns_that_others_rely_on():
    assert ",".join(COLUMNS) == (
        "case,label,status,dice,iou,hausdorff_mm,hd95_mm,mean_surface_distance_mm,surface_dice,"
        "volume_reference_ml,volume_prediction_ml,components,holes,"
        "precision,recall,rve,ave_ml,pieces_detected,pieces_missed,pieces_invented"
    )


def test_there_and_back_without_loss(tmp_path):
    odd = LabelScores('x,"y"\n<b>', "1", "ok", 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, None, None, 1, 0)

    write_scores(tmp_path / "cases.csv", [SCORED, EMPTY, odd])

    assert read_scores(tmp_path / "cases.csv") == [SCORED, EMPTY, odd]
    assert (tmp_path / "cases.csv").read_text().splitlines()[2] == 'a,"(1, 2)",both_empty,,,,,,,,,0,0,,,,,,,'


def test_columns_in_any_order_and_more_of_them(tmp_path):
    write_scores(tmp_path / "cases.csv", [SCORED])
    names, row = (line.split(",") for line in (tmp_path / "cases.csv").read_text().splitlines())
    (tmp_path / "turned.csv").write_text(f"note,{','.join(names[::-1])}\nhello,{','.join(row[::-1])}\n")

    assert read_scores(tmp_path / "turned.csv") == [SCORED]


def test_a_table_of_an_earlier_version_lacks_the_later_measures(tmp_path):
    write_scores(tmp_path / "cases.csv", [replace(SCORED, precision=0.5, pieces_missed=2)])
    assert read_scores(tmp_path / "cases.csv") == [replace(SCORED, precision=0.5, pieces_missed=2)]
    lines = (tmp_path / "cases.csv").read_text().splitlines()
    (tmp_path / "old.csv").write_text("".join(",".join(line.split(",")[:13]) + "\n" for line in lines))
    assert read_scores(tmp_path / "old.csv") == [SCORED]


def test_no_table(tmp_path):
    with pytest.raises(FileNotFoundError, match="acnn-nnunet evaluate GT PRED -o"):
        read_scores(tmp_path / "cases.csv")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("hd95_mm", "hd95", "lacks the columns hd95_mm"),
        (",ok,", ",fine,", "line 2: the status is 'fine'; it is one of ok, missed, spurious, both_empty"),
        (",2.5,", ",nan,", "line 2: hausdorff_mm is 'nan', not a finite number"),
        (",2.5,", ",-inf,", "line 2: hausdorff_mm is '-inf'"),
        (",2.5,", ",much,", "line 2: hausdorff_mm is 'much'"),
        (",2,0,,,,,,,\n", ",,0,,,,,,,\n", "line 2: components is ''"),
        (",2,0,,,,,,,\n", "\n", "line 2: components is ''"),
    ],
)
def test_a_table_that_someone_changed(tmp_path, old, new, message):
    path = tmp_path / "cases.csv"
    write_scores(path, [SCORED])
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))

    with pytest.raises(ValueError, match=message):
        read_scores(path)


def test_a_case_twice(tmp_path):
    write_scores(tmp_path / "cases.csv", [SCORED, SCORED])

    with pytest.raises(ValueError, match="case a, label 1 twice"):
        read_scores(tmp_path / "cases.csv")


def test_an_empty_file(tmp_path):
    (tmp_path / "cases.csv").write_text("")

    with pytest.raises(ValueError, match="lacks the columns case, label"):
        read_scores(tmp_path / "cases.csv")


def test_a_large_run_is_parquet_and_reads_the_same(tmp_path):
    pytest.importorskip("pyarrow")
    write_scores(tmp_path / "cases.csv", [SCORED])

    written = write_scores(tmp_path / "cases.csv", [SCORED, EMPTY], num_cases=LARGE_RUN)

    assert written == tmp_path / "cases.parquet"
    assert not (tmp_path / "cases.csv").exists()  # the smaller run's
    assert read_scores(tmp_path / "cases.csv") == [SCORED, EMPTY]


def test_a_large_run_without_pyarrow_is_csv(tmp_path, monkeypatch):
    monkeypatch.setattr("acnn_nnunet.evaluation.masks.table.has_parquet", lambda: False)

    assert write_scores(tmp_path / "cases.csv", [SCORED], num_cases=LARGE_RUN) == tmp_path / "cases.csv"
