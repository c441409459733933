"""Tables of codes by fold: found, checked against each other, and looked up by case."""

import numpy as np
import pytest
from patients import rows_of, table_of, write_table

from acnn_nnunet.latent.classification.fold_codes import cases_with_codes, codes_of, read_fold_codes
from acnn_nnunet.latent.codes.table import CodeTable

ROWS = rows_of({"NOR": 2})


def test_a_file_is_one_table(tmp_path):
    (table,) = read_fold_codes(write_table(tmp_path / "codes.csv", table_of(ROWS)))

    assert [row.case for row in table.cases] == ["p00_ED", "p00_ES", "p01_ED", "p01_ES"]


def test_folds_are_in_the_order_of_their_numbers(tmp_path):
    for fold in range(11):
        write_table(tmp_path / f"fold_{fold}.csv", CodeTable(tuple(ROWS), np.full((4, 1), float(fold))))

    assert [table.codes[0, 0] for table in read_fold_codes(tmp_path)] == list(range(11))


@pytest.mark.parametrize(("present", "missing"), [((), 0), ((1,), 0), ((0, 1, 3), 2)])
def test_a_missing_fold(present, missing, tmp_path):
    for fold in present:
        write_table(tmp_path / f"fold_{fold}.csv", table_of(ROWS))

    with pytest.raises(FileNotFoundError, match=rf"There is no fold_{missing}\.csv in"):
        read_fold_codes(tmp_path)


def test_codes_of_another_length(tmp_path):
    write_table(tmp_path / "fold_0.csv", table_of(ROWS))
    write_table(tmp_path / "fold_1.csv", CodeTable(tuple(ROWS), np.zeros((4, 3))))

    with pytest.raises(ValueError, match=r"fold_1\.csv has codes of length 3, .*fold_0\.csv of 2"):
        read_fold_codes(tmp_path)


def test_why_a_case_cannot_be_used():
    whole = table_of(ROWS)
    partial = CodeTable(tuple(ROWS[1:3]), np.zeros((2, 2)), {"p00_ED": "holds no label"})

    assert cases_with_codes([whole, partial]) == {
        "p00_ED": "holds no label",
        "p00_ES": "",
        "p01_ED": "",
        "p01_ES": "not every table has its code",
    }


def test_codes_come_in_the_order_asked_for():
    table = CodeTable(tuple(ROWS), np.arange(8.0).reshape(4, 2))

    np.testing.assert_array_equal(codes_of(table, ["p01_ES", "p00_ED"]), [[6, 7], [0, 1]])
