import json
from collections import Counter
from dataclasses import fields

import pytest

from acnn_nnunet.files.patients import (
    CaseGroup,
    ConversionReport,
    Exclusion,
    person_of,
    read_conversion_report,
    read_groups,
    split_by_patient,
    write_conversion_report,
    write_groups,
)


def _table(folder, text, encoding="utf-8"):
    path = folder / "groups.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_written_file_is_plain_csv_and_is_read_back(tmp_path):
    rows = [
        CaseGroup("p1_ED", "p1", "ED", "DCM"),
        CaseGroup("p1_ES", "p1", "ES", "DCM"),
        CaseGroup("x", "x", "", "a,b"),
    ]
    write_groups(tmp_path / "groups.csv", rows)
    text = (tmp_path / "groups.csv").read_bytes().decode()
    assert text == 'case,patient,phase,group\np1_ED,p1,ED,DCM\np1_ES,p1,ES,DCM\nx,x,,"a,b"\n'
    assert read_groups(tmp_path / "groups.csv") == rows


def test_case_and_group_alone_make_each_case_its_own_patient(tmp_path):
    path = _table(tmp_path, "case,group\na,healthy\nb,\n")
    assert read_groups(path) == [CaseGroup("a", "a", "", "healthy"), CaseGroup("b", "b", "", "")]


def test_spreadsheets_may_reorder_add_columns_a_mark_and_carriage_returns(tmp_path):
    path = _table(tmp_path, "group,age,case,patient\r\nDCM , 61,p1_ED,p1\r\n", encoding="utf-8-sig")
    assert read_groups(path) == [CaseGroup("p1_ED", "p1", "", "DCM")]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Case;Patient;Phase;Group\np1_ED;p1;ED;DCM\n", "utf-8"),
        ("case\tpatient\tphase\tgroup\r\np1_ED\tp1\tED\tDCM\r\n", "utf-16"),
        (" CASE , patient,phase , group\rp1_ED,p1,ED,DCM\r", "utf-8"),
    ],
)
def test_separators_encodings_and_spellings_of_spreadsheets(tmp_path, text, encoding):
    assert read_groups(_table(tmp_path, text, encoding)) == [CaseGroup("p1_ED", "p1", "ED", "DCM")]


def test_groups_that_differ_in_case_only_are_one(tmp_path):
    rows = read_groups(_table(tmp_path, "case,patient,group\na,p,NOR\nb,p,nor\nc,q,Dcm\n"))
    assert [row.group for row in rows] == ["NOR", "NOR", "Dcm"]


def test_phases_that_differ_in_case_only_are_one(tmp_path):
    rows = read_groups(_table(tmp_path, "case,patient,phase,group\na,p,ED,x\nb,p,es,x\nc,q,ed,x\n"))
    assert [row.phase for row in rows] == ["ED", "es", "ED"]


def test_a_name_is_one_however_unicode_spells_it(tmp_path):
    composed, decomposed = "M\u00fcller", "Mu\u0308ller"
    row = CaseGroup(f"{composed}_ED", composed, "ED", composed)
    assert read_groups(
        _table(tmp_path, f"case,patient,phase,group\n{decomposed}_ED,{decomposed},ED,{decomposed}\n")
    ) == [row]


def test_entry_of_an_exclusion_names_the_part_as_its_file_does():
    assert Exclusion("p1", "no label", "lv_ef").entry("index") == {
        "patient": "p1",
        "index": "lv_ef",
        "reason": "no label",
    }
    assert Exclusion("p1", "no label").entry() == {"patient": "p1", "reason": "no label"}


def test_conversion_report_is_read_back(tmp_path):
    report = ConversionReport("src", ["p1", "p2"], ["p3"], [Exclusion("p4", "no label", "training")], {"p2": "p1"})
    write_conversion_report(tmp_path, report)
    assert read_conversion_report(tmp_path) == report
    content = json.loads((tmp_path / "conversion_report.json").read_text())
    assert list(content) == ["source", "training_patients", "test_patients", "excluded", "twins", "notes"]
    assert content["excluded"] == [{"patient": "p4", "part": "training", "reason": "no label"}]


def test_conversion_report_that_is_missing_or_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no .*conversion_report.json: `acnn-nnunet convert` makes datasets"):
        read_conversion_report(tmp_path)
    whole = {each.name: [] for each in fields(ConversionReport)}
    for text in (
        "{",
        "[]",
        '{"source": ""}',
        json.dumps({**whole, "twins": ["p1"]}),
        json.dumps({**whole, "twins": {"a": 3}}),
    ):
        (tmp_path / "conversion_report.json").write_text(text)
        with pytest.raises(ValueError, match=r"conversion_report.json is damaged .*: convert the dataset again"):
            read_conversion_report(tmp_path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no .*groups.csv: .* columns case, patient, phase, group"):
        read_groups(tmp_path / "groups.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"groups.csv, line 1: the column case is missing"),
        ("case,diagnosis\na,DCM\n", r"groups.csv, line 1: the column group is missing"),
        ("case,group\na,DCM\n,NOR\n", r"groups.csv, line 3: the case has no name"),
        ("case,group\na,DCM\nb,NOR\na,DCM\n", r"groups.csv, line 4: case a is there already, in line 2"),
        (
            "case,patient,group\na,p1,DCM\nb,p1,NOR\n",
            r"groups.csv, line 3: patient p1 is in group 'NOR' here and in 'DCM' above",
        ),
    ],
)
def test_bad_table_is_refused_by_file_and_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_groups(_table(tmp_path, text))


def test_binary_file_is_refused(tmp_path):
    (tmp_path / "groups.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"groups.csv is no CSV text file"):
        read_groups(tmp_path / "groups.csv")


def _rows(members):
    """Two cases a patient, for a number of patients a group."""
    return [
        CaseGroup(f"{group}{number}_{phase}", f"{group}{number}", phase, group)
        for group, count in members.items()
        for number in range(count)
        for phase in ("ED", "ES")
    ]


def _patients(cases):
    return {case.rpartition("_")[0] for case in cases}


@pytest.mark.parametrize("members", [{"a": 16, "b": 16, "c": 16}, {"a": 7, "b": 1, "c": 12, "": 3}, {"a": 5}])
def test_folds_are_grouped_by_patient_complete_and_balanced(members):
    rows = _rows(members)
    folds = split_by_patient(rows)
    assert len(folds) == 5
    assert sorted(case for fold in folds for case in fold["val"]) == sorted(row.case for row in rows)
    for fold in folds:
        assert sorted(fold["train"] + fold["val"]) == sorted(row.case for row in rows)
        assert not _patients(fold["train"]) & _patients(fold["val"])
    sizes = [len(_patients(fold["val"])) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    group_of = {row.patient: row.group for row in rows}
    for group in members:
        counts = [Counter(map(group_of.get, _patients(fold["val"])))[group] for fold in folds]
        assert max(counts) - min(counts) <= 1


def test_a_seed_gives_the_same_folds_whatever_the_order_of_the_rows():
    rows = _rows({"a": 9, "b": 4})
    assert split_by_patient(rows) == split_by_patient(rows[::-1])
    assert split_by_patient(rows) != split_by_patient(rows, seed=1)


def test_fewer_patients_than_folds_leave_one_out():
    folds = split_by_patient(_rows({"a": 2, "b": 1}))
    assert sorted(len(_patients(fold["val"])) for fold in folds) == [1, 1, 1]


@pytest.mark.parametrize("members", [{}, {"a": 1}])
def test_fewer_than_two_patients_cannot_be_split(members):
    with pytest.raises(ValueError, match=f"two patients; there are {len(members)}"):
        split_by_patient(_rows(members))


def test_a_twin_of_a_twin_is_the_first_of_them_and_a_circle_ends():
    twins = {"p2": "p1", "p3": "p2"}
    assert [person_of(patient, twins) for patient in ("p1", "p2", "p3", "p4")] == ["p1", "p1", "p1", "p4"]
    assert person_of("a", {"a": "b", "b": "a"}) in ("a", "b")
