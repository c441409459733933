import sys
from dataclasses import dataclass

import numpy as np
import pytest

from acnn_nnunet.files.tables import columns_of, read_table, require_parquet, write_rows, write_table

MADE_BY = "somebody writes it."


@dataclass(frozen=True)
class Point:
    name: str
    x: float | None
    count: int | None


def test_a_table_without_rows_has_its_header(tmp_path):
    write_table(tmp_path / "t.csv", {"a": [], "b, c": []})

    assert (tmp_path / "t.csv").read_bytes() == b'a,"b, c"\n'


def test_cells_are_written_as_python_writes_them_and_none_is_empty(tmp_path):
    columns = {
        "name": ["a", 'b "1"', "ü,\nx", ""],
        "float": [0.1, None, 1e-17, 3.0],
        "numpy": [np.float64(1 / 3), np.float32(0.1), float("nan"), np.inf],
        "int": [1, None, 12345678901234567890, np.int64(3)],
        "bool": [True, None, False, np.bool_(True)],
    }

    write_table(tmp_path / "t.csv", columns)

    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == (
        "name,float,numpy,int,bool\n"
        "a,0.1,0.3333333333333333,1,True\n"
        '"b ""1""",,0.1,,\n'
        '"ü,\nx",1e-17,nan,12345678901234567890,False\n'
        ",3.0,inf,3,True\n"
    )


def test_floats_alone_take_a_format(tmp_path):
    codes = np.array([1 / 3, 1e20], dtype=np.float32)

    write_table(tmp_path / "t.csv", {"n": [1, 2], "code": codes, "x": [0.5, None]}, float_format="%.9g")

    assert (tmp_path / "t.csv").read_text() == "n,code,x\n1,0.333333343,0.5\n2,1.00000002e+20,\n"


def test_columns_of_records_stand_in_the_order_asked_for():
    points = (point for point in [Point("a", 0.5, 1), Point("b", None, None)])

    assert columns_of(points, ("count", "name")) == {"count": [1, None], "name": ["a", "b"]}


def test_a_written_table_is_read_again_line_by_line(tmp_path):
    write_table(tmp_path / "t.csv", {"name": ["a\nb", "c"], "x": [0.5, None]})

    table = read_table(tmp_path / "t.csv", made_by=MADE_BY)

    assert table.columns == ["name", "x"]
    assert list(table.rows()) == [
        (f"{tmp_path / 't.csv'}, line 3", {"name": "a\nb", "x": "0.5"}),
        (f"{tmp_path / 't.csv'}, line 4", {"name": "c", "x": ""}),
    ]


def test_marks_blank_lines_and_ragged_rows_are_read(tmp_path):
    (tmp_path / "t.csv").write_bytes("a,b\r\n\r\n1\r\n1,2,3\r\n".encode("utf-8-sig"))

    table = read_table(tmp_path / "t.csv", made_by=MADE_BY)

    assert table.lines == [(3, ["1"]), (4, ["1", "2", "3"])]
    assert [row for _, row in table.rows()] == [{"a": "1", "b": ""}, {"a": "1", "b": "2"}]


def test_an_empty_file_has_no_columns(tmp_path):
    (tmp_path / "t.csv").touch()

    assert read_table(tmp_path / "t.csv", made_by=MADE_BY).columns == []


def test_a_missing_file_says_who_writes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no .*t\.csv: somebody writes it\."):
        read_table(tmp_path / "t.csv", made_by=MADE_BY)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\x89PNG\xff\xfe\x00")

    with pytest.raises(ValueError, match=r"t\.csv is no CSV text file"):
        read_table(tmp_path / "t.csv", made_by=MADE_BY)


def test_a_failed_write_keeps_the_table_that_is_there(tmp_path):
    write_table(tmp_path / "t.csv", {"a": [1]})
    (tmp_path / "t.csv.partial").mkdir()

    with pytest.raises(OSError, match=r"Could not write .*t\.csv.* The previous file is kept"):
        write_table(tmp_path / "t.csv", {"a": [2]})

    assert (tmp_path / "t.csv").read_text() == "a\n1\n"


def test_parquet_keeps_the_types_of_the_columns(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    write_table(tmp_path / "t.parquet", {"name": ["a"], "code": np.array([0.1], dtype=np.float32)})

    assert pandas.read_parquet(tmp_path / "t.parquet")["code"].dtype == np.float32
    table = read_table(tmp_path / "t.parquet", made_by=MADE_BY)
    assert table.columns == ["name", "code"]
    assert table.lines[0][0] == 1
    assert np.float32(table.lines[0][1][1]) == np.float32(0.1)


def test_no_parquet_file_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_text("a,b\n")

    with pytest.raises(ValueError, match=r"t\.parquet is no Parquet file"):
        read_table(tmp_path / "t.parquet", made_by=MADE_BY)


def test_parquet_without_its_library_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ValueError, match=r"Parquet needs pyarrow: pip install pyarrow, or name a \.csv file"):
        require_parquet()


KINDS = {"case": str, "dice": float, "holes": int, "code": np.float32}


def test_rows_one_by_one_are_the_table_of_columns(tmp_path):
    rows = [["a", 0.1, 2, 0.5], ['b,"c"', None, None, float("nan")]]

    write_rows(tmp_path / "rows.csv", KINDS, iter(rows))

    write_table(tmp_path / "columns.csv", dict(zip(KINDS, map(list, zip(*rows, strict=True)), strict=True)))
    assert (tmp_path / "rows.csv").read_text() == (tmp_path / "columns.csv").read_text()


def test_rows_in_groups(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("acnn_nnunet.files.tables.ROWS_PER_GROUP", 2)
    rows = [["a", None, 1, 0.5], ["b", None, None, 0.25], ["c", 0.5, 3, 1.5]]  # the first group has no number at all

    write_rows(tmp_path / "rows.parquet", KINDS, iter(rows))

    file = parquet.ParquetFile(tmp_path / "rows.parquet")
    assert file.num_row_groups == 2
    assert [str(kind) for kind in file.schema_arrow.types] == ["string", "double", "int64", "float"]
    table = read_table(tmp_path / "rows.parquet", made_by="")
    assert [cells for _, cells in table.lines] == [
        ["a", "", "1", "0.5"],
        ["b", "", "", "0.25"],
        ["c", "0.5", "3", "1.5"],
    ]


def test_a_failure_amid_the_rows_keeps_the_table_that_is_there(tmp_path):
    def rows():
        yield ["a", 0.5, 1, 0.5]
        raise OSError("the journal is gone")

    (tmp_path / "rows.csv").write_text("before")
    with pytest.raises(OSError, match="the journal is gone"):
        write_rows(tmp_path / "rows.csv", KINDS, rows())
    assert (tmp_path / "rows.csv").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("patient,lv_edv, lv_edv\np1,1,2\n")
    with pytest.raises(ValueError, match=rf"{path}, line 1: there are two columns lv_edv: rename one of them"):
        read_table(path, made_by="")
