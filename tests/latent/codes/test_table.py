"""Tables of codes: whose a case is, written and read again, and what is no such table."""

import importlib.util
import sys

import numpy as np
import pytest

from acnn_nnunet.files.patients import CaseGroup
from acnn_nnunet.latent.codes.table import CodeTable, KnownCases, collect_codes, prior_mark, read_codes, write_codes

GROUPS = [
    CaseGroup("patient001_ED", "patient001", "ED", "DCM"),
    CaseGroup("b", "somebody", "ES", "NOR"),
    CaseGroup("patient007_ES", "patient007_ES", "", "HCM"),
]
HEADER = "case,patient,phase,group,code_0,code_1\n"
PRIOR_HEADER = "case,patient,phase,group,code_0,code_1,prior\n"


@pytest.mark.parametrize(
    ("case", "patient", "phase", "group"),
    [
        ("patient001_ED", "patient001", "ED", "DCM"),
        ("patient001_ES", "patient001", "ES", "DCM"),  # the patient's other case has the row
        ("b", "somebody", "ES", "NOR"),
        ("patient007_ES", "patient007", "ES", "HCM"),  # a table without patients and phases
        ("patient002_es", "patient002", "ES", ""),
        ("hippocampus_001", "", "", ""),
        ("_ED", "", "", ""),
    ],
)
def test_whose_a_case_is(case, patient, phase, group):
    assert KnownCases(GROUPS).describe(case) == CaseGroup(case, patient, phase, group)


def test_a_table_is_read_as_it_was_written(tmp_path):
    codes = np.array([[0.1, -3e-9], [1 / 3, 1e20]], dtype=np.float32)
    table = CodeTable((CaseGroup("a, the first", "a", "ED", ""), CaseGroup("b", "", "", "ü")), codes)

    write_codes(tmp_path / "codes.csv", table)
    again = read_codes(tmp_path / "codes.csv")

    text = (tmp_path / "codes.csv").read_text(encoding="utf-8")
    assert text == HEADER + '"a, the first",a,ED,,0.100000001,-3.00000003e-09\nb,,,ü,0.333333343,1.00000002e+20\n'
    assert again.cases == table.cases
    assert np.array_equal(again.codes.astype(np.float32), codes)
    assert not again.excluded


@pytest.mark.parametrize("name", ["codes.csv", "codes.parquet"])
def test_a_table_keeps_the_prior_that_made_it(name, tmp_path):
    mark = prior_mark("00e7" * 16)  # digits that a spreadsheet or pandas takes for a number
    table = CodeTable((CaseGroup("a", "p", "ED", ""),), np.array([[0.5, -2.0]], dtype=np.float32), prior=mark)

    write_codes(tmp_path / name, table)
    again = read_codes(tmp_path / name)

    assert (again.prior, again.codes.tolist()) == ("00e700e700e700e7", [[0.5, -2.0]])


def test_codes_that_are_not_finite_exclude_their_cases(tmp_path):
    (tmp_path / "codes.csv").write_text(f"{HEADER}a,,,,nan,0\nb,,,,1,2\nc,,,,inf,0\n")

    table = read_codes(tmp_path / "codes.csv")

    assert [row.case for row in table.cases] == ["b"]
    assert table.codes.tolist() == [[1.0, 2.0]]
    assert table.excluded == {"a": "its code is not finite", "c": "its code is not finite"}


def test_all_codes_may_be_excluded():
    table = collect_codes([CaseGroup("a", "", "", "")], np.array([[np.nan]]), {"b": "no label"})

    assert table.cases == ()
    assert table.excluded == {"b": "no label", "a": "its code is not finite"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"is no table of codes: its columns must be case, patient, phase, group, code_0"),
        ("case,patient,phase,group\n", r"is no table of codes"),
        ("case,patient,phase,group,code_1\na,,,,1\n", r"is no table of codes"),
        (f"{HEADER}a,,,,1\n", r"line 2: 5 values, where the header has 6"),
        (f"{HEADER},,,,1,2\n", r"line 2: the case has no name"),
        (f"{HEADER}a,,,,1,2\na,,,,1,2\n", r"line 3: case a is there already, in line 2"),
        (f"{HEADER}a,,,,1,two\n", r"line 2: a code holds what is no number"),
        (f"{PRIOR_HEADER}a,,,,1,2,0fab\nb,,,,1,2,77cc\n", r"line 3: a code of the prior 77cc among those of 0fab"),
        (f"{PRIOR_HEADER}a,,,,1,2,0fab\nb,,,,1,2,\n", r"line 3: a code of the prior \(none\) among those of 0fab"),
    ],
)
def test_what_is_no_table_is_refused(content, message, tmp_path):
    (tmp_path / "codes.csv").write_text(content)

    with pytest.raises(ValueError, match=message):
        read_codes(tmp_path / "codes.csv")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no .*codes.csv: acnn-nnunet codes writes it"):
        read_codes(tmp_path / "codes.csv")


def test_each_case_has_one_code():
    with pytest.raises(ValueError, match=r"1 cases cannot have codes of shape \(2, 3\)"):
        CodeTable((CaseGroup("a", "", "", ""),), np.zeros((2, 3)))


def test_parquet_without_its_libraries_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ValueError, match=r"Parquet needs pyarrow: pip install pyarrow, or name a .csv file"):
        write_codes(tmp_path / "codes.parquet", CodeTable((), np.zeros((0, 2))))


@pytest.mark.skipif(not importlib.util.find_spec("pyarrow"), reason="Parquet needs pyarrow")
def test_parquet_is_read_as_it_was_written(tmp_path):
    table = CodeTable((CaseGroup("a", "p", "ED", ""),), np.array([[0.1, -2.0]], dtype=np.float32))

    write_codes(tmp_path / "codes.parquet", table)
    again = read_codes(tmp_path / "codes.parquet")

    assert again.cases == table.cases
    assert np.array_equal(again.codes.astype(np.float32), table.codes)
