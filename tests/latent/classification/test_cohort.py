"""Who can be classified, and who is left out for what reason."""

from dataclasses import replace

import numpy as np
import pytest
from patients import rows_of

from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.latent.classification.cohort import read_twins, select_cohort

ROWS = rows_of({"NOR": 3, "DCM": 2})


def known(rows):
    return dict.fromkeys((row.case for row in rows), "")


def reasons(cohort):
    return {each.patient: each.reason for each in cohort.excluded}


def test_everybody():
    cohort = select_cohort(ROWS, known(ROWS))

    assert [member.name for member in cohort.members] == ["p00", "p01", "p02", "p03", "p04"]
    assert cohort.classes == ("DCM", "NOR")
    np.testing.assert_array_equal(cohort.targets, [1, 1, 1, 0, 0])
    assert cohort.cases("ES")[3] == "p03_ES"
    assert (cohort.excluded, cohort.num_others) == ((), 0)


def test_nobody():
    with pytest.raises(
        ValueError, match=r"Two groups of two or more patients .* there are 0 DCM, 0 NOR \(left out: p00: has no case"
    ):
        select_cohort(ROWS, {})


def test_one_phase_a_code_that_is_not_finite_and_no_group_are_left_out():
    rows = rows_of({"NOR": 5, "DCM": 2})
    rows = [row for row in rows if row.case != "p00_ES"]
    rows = [replace(row, group="") if row.patient == "p01" else row for row in rows]
    cases = {**known(rows), "p02_ED": "its code is not finite", "stranger": ""}

    cohort = select_cohort(rows, cases)

    assert [member.name for member in cohort.members] == ["p03", "p04", "p05", "p06"]
    assert reasons(cohort) == {
        "stranger": "the case is not in the table of groups",
        "p00": "has no ES case with a code",
        "p01": "has no group",
        "p02": "p02_ED: its code is not finite",
    }


def test_two_cases_of_one_phase():
    rows = [*ROWS, replace(ROWS[0], case="p00_ED_again")]

    assert reasons(select_cohort(rows, known(rows))) == {"p00": "has several ED cases"}


def test_a_third_phase_does_not_matter():
    rows = [*ROWS, replace(ROWS[0], case="p00_MID", phase="MID")]

    assert len(select_cohort(rows, known(rows)).members) == 5


def test_a_dataset_without_phases():
    rows = [replace(row, phase="") for row in ROWS]

    with pytest.raises(ValueError, match=r"left out: p00: has no ED and no ES case with a code"):
        select_cohort(rows, known(rows))


def test_a_group_of_one_member_is_left_out():
    rows = rows_of({"NOR": 2, "DCM": 2, "HCM": 1})

    cohort = select_cohort(rows, known(rows))

    assert cohort.classes == ("DCM", "NOR")
    assert reasons(cohort) == {"p04": "is the only person of group HCM"}


def test_twins_are_one_person():
    rows = rows_of({"NOR": 2, "DCM": 2})

    with pytest.raises(ValueError, match="p01: is the only person of group NOR"):
        select_cohort(rows, known(rows), twins={"p01": "p00"})


def test_classes_are_chosen_and_the_others_counted():
    rows = rows_of({"NOR": 2, "DCM": 2, "HCM": 2})

    cohort = select_cohort(rows, known(rows), classes=["HCM", "NOR"])

    assert cohort.classes == ("HCM", "NOR")
    assert cohort.num_others == 2


@pytest.mark.parametrize("classes", [["NOR", "RV"], ["NOR", "DCM", "RV", "NOR"]])
def test_an_unknown_class(classes):
    with pytest.raises(ValueError, match=r"is asked for twice or unknown; the groups are DCM, NOR\."):
        select_cohort(ROWS, known(ROWS), classes=classes)


def test_leaving_out_more_counts_too():
    cohort = select_cohort(ROWS, known(ROWS)).without({"p00": "is not in clinical.csv"})

    assert len(cohort.members) == 4
    assert reasons(cohort) == {"p00": "is not in clinical.csv"}


def test_twins_come_from_the_conversions_report(tmp_path):
    assert read_twins(tmp_path / "groups.csv") == {}
    report = {"source": "", "training_patients": [], "test_patients": [], "excluded": [], "notes": {}}
    write_json(tmp_path / "conversion_report.json", {**report, "twins": {"patient076": "patient074"}})

    assert read_twins(tmp_path / "groups.csv") == {"patient076": "patient074"}


def test_patients_without_any_code_are_left_out_and_counted():
    rows = rows_of({"NOR": 4, "DCM": 2, "RV": 2})
    cohort = select_cohort(
        rows, known([row for row in rows if row.patient not in ("p00", "p06")]), classes=["NOR", "DCM"]
    )

    assert reasons(cohort) == {"p00": "has no case with a code"}
    assert cohort.num_others == 2
