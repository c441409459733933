"""Clinical indices: by hand on small tables, and on the reference labels of ACDC."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from acnn_nnunet.evaluation.clinical.indices import SIDES, Index, measure_patients, write_clinical
from acnn_nnunet.evaluation.masks.table import LabelScores
from acnn_nnunet.files.patients import CaseGroup, Exclusion

ACDC_NAMES = {"1": "RV", "2": "MYO", "3": "LV"}


def score(case, label, reference_ml, prediction_ml):
    return LabelScores(
        case=case,
        label=label,
        status="ok",
        dice=None,
        iou=None,
        hausdorff_mm=None,
        hd95_mm=None,
        mean_surface_distance_mm=None,
        surface_dice=None,
        volume_reference_ml=reference_ml,
        volume_prediction_ml=prediction_ml,
        components=1,
        holes=0,
    )


def heart(patient, *, ed, es, group="NOR"):
    """Scores of the LV alone, (reference, prediction) in ml per phase, and the rows of groups.csv."""
    scores = [score(f"{patient}_{phase}", "1", *volumes) for phase, volumes in (("ED", ed), ("ES", es))]
    return scores, [CaseGroup(f"{patient}_{phase}", patient, phase, group) for phase in ("ED", "ES")]


def measure(*hearts, names=None, **options):
    scores = [each for scores, _ in hearts for each in scores]
    groups = [each for _, groups in hearts for each in groups]
    return measure_patients(scores, groups, label_names=names or {"1": "LV"}, **options)


def index_of(result, key) -> Index:
    return next(index for index in result.indices if index.key == key)


def test_one_patient_by_hand():
    scores = [
        *(score("a", label, *volumes) for label, volumes in (("1", (150, 160)), ("2", (100, 90)), ("3", (120, 100)))),
        *(score("b", label, *volumes) for label, volumes in (("1", (60, 40)), ("2", (102, 95)), ("3", (48, 50)))),
    ]
    groups = [CaseGroup("a", "p1", "ED", "NOR"), CaseGroup("b", "p1", "ES", "NOR")]

    result = measure_patients(scores, groups, label_names=ACDC_NAMES)

    (patient,) = result.patients
    assert (patient.patient, patient.group) == ("p1", "NOR")
    assert patient.reference == pytest.approx(
        # EF: 72/120 and 90/150. Mass: 1.05 · 100 ml, the volume at ED.
        {"lv_edv": 120, "lv_esv": 48, "lv_sv": 72, "lv_ef": 60}
        | {"rv_edv": 150, "rv_esv": 60, "rv_sv": 90, "rv_ef": 60, "myo_mass": 105}
    )
    assert patient.prediction == pytest.approx(
        {"lv_edv": 100, "lv_esv": 50, "lv_sv": 50, "lv_ef": 50}
        | {"rv_edv": 160, "rv_esv": 40, "rv_sv": 120, "rv_ef": 75, "myo_mass": 94.5}
    )
    assert (patient.missed, result.excluded, result.unassigned_cases) == (frozenset(), (), ())


def test_agreement_of_all_and_by_group():
    result = measure(
        heart("p1", ed=(100, 110), es=(50, 44), group="A"),  # EF 50 and 60
        heart("p2", ed=(200, 200), es=(120, 132), group="A"),  # EF 40 and 34
        heart("p3", ed=(80, 80), es=(16, 24), group="B"),  # EF 80 and 70
    )
    ejection_fraction = index_of(result, "lv_ef")

    overall, group_a, group_b = (result.agreement(ejection_fraction, group=group) for group in (None, "A", "B"))

    assert result.groups == ["A", "B"]
    assert (overall.n, group_a.n, group_b.n) == (3, 2, 1)
    assert overall.bias == pytest.approx((10 - 6 - 10) / 3)
    assert overall.mean_absolute_error == pytest.approx(26 / 3)
    assert overall.pearson_r == pytest.approx(np.corrcoef([50, 40, 80], [60, 34, 70])[0, 1])
    assert group_a.bias == pytest.approx(2)
    assert group_a.sd == pytest.approx(16 / np.sqrt(2))
    assert (group_a.pearson_r, group_b.sd, group_b.pearson_r) == (None, None, None)


def test_a_missed_structure_counts_with_volume_0():
    result = measure(heart("p1", ed=(100, 90), es=(40, 0)), heart("p2", ed=(100, 0), es=(40, 30)))
    first, second = result.patients

    assert first.prediction == {"lv_edv": 90, "lv_esv": 0, "lv_sv": 90, "lv_ef": 100}
    assert first.missed == {"lv_esv", "lv_sv", "lv_ef"}
    assert second.prediction == {"lv_edv": 0, "lv_esv": 30, "lv_sv": -30, "lv_ef": None}
    assert second.missed == {"lv_edv", "lv_sv", "lv_ef"}
    assert result.agreement(index_of(result, "lv_edv")).n == 2
    assert result.agreement(index_of(result, "lv_ef")).n == 1
    assert result.excluded == (
        Exclusion("p2", "no LV ejection fraction: the end-diastolic volume is 0 in the prediction", "lv_ef"),
    )


def test_no_ejection_fraction_of_an_empty_reference():
    result = measure(heart("p1", ed=(0, 5), es=(0, 0)))

    assert result.patients[0].reference["lv_ef"] is None
    assert result.patients[0].missed == frozenset()
    assert "0 in the reference" in result.excluded[0].reason


def reasons(result):
    return {exclusion.patient: exclusion.reason for exclusion in result.excluded if not exclusion.part}


def test_patients_without_both_phases_are_excluded_with_the_reason():
    whole = heart("whole", ed=(100, 100), es=(40, 40))
    scores, groups = heart("p", ed=(100, 100), es=(40, 40))
    twice = CaseGroup("p_other", "p", "ED", "NOR")

    assert reasons(measure(whole, (scores, groups[:1]))) == {"p": "no ES case"}
    assert reasons(measure(whole, (scores, groups[1:]))) == {"p": "no ED case"}
    assert reasons(measure(whole, (scores[:1], groups))) == {"p": "the ES case p_ES was not evaluated"}
    assert reasons(measure(whole, (scores, [*groups, twice]))) == {"p": "several cases are ED: p_ED, p_other"}
    assert reasons(measure(whole, (scores[1:], groups), excluded_cases={"p_ED": "truncated file"})) == {
        "p": "the ED case p_ED was excluded: truncated file"
    }
    flat = [score("p_ED", "1", None, None), scores[1]]
    assert reasons(measure(whole, (flat, groups))) == {"p": "the ED case p_ED has no volume of LV"}
    other_label = [score("p_ED", "2", 1, 1), scores[1]]
    assert reasons(measure(whole, (other_label, groups))) == {"p": "the ED case p_ED has no volume of LV"}


def test_patients_of_whom_nothing_was_evaluated_are_no_exclusion_and_unknown_cases_are_listed():
    known, others = heart("p", ed=(100, 100), es=(40, 40)), heart("q", ed=(1, 1), es=(1, 1))

    result = measure(known, ([score("stray", "1", 1, 1)], others[1]))

    assert [patient.patient for patient in result.patients] == ["p"]
    assert result.excluded == ()
    assert result.unassigned_cases == ("stray",)


def test_structures_go_by_name_and_absent_ones_are_passed_over():
    scores, groups = heart("p", ed=(100, 100), es=(40, 40))

    assert {index.key for index in measure((scores, groups), names={"1": "lv"}).indices} == {
        "lv_edv",
        "lv_esv",
        "lv_sv",
        "lv_ef",
    }
    muscle = measure((scores, groups), names={"1": "Myo", "2": "left atrium"})
    assert [index.column("prediction") for index in muscle.indices] == ["myo_mass_prediction_g"]


def test_files(tmp_path):
    scores, groups = zip(
        heart("p1", ed=(100, 100), es=(40, 50), group="A"),
        heart("p2", ed=(100, 0), es=(40, 50), group=""),
        strict=True,
    )
    one_phase = heart("p3", ed=(100, 100), es=(40, 50))
    rows = [*groups[0], *groups[1], one_phase[1][0]]

    write_clinical(measure(([*scores[0], *scores[1], *one_phase[0]], rows)), tmp_path / "new")

    with open(tmp_path / "new" / "clinical.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first)[:4] == ["patient", "group", "lv_edv_reference_ml", "lv_edv_prediction_ml"]
    assert (first["patient"], first["group"], float(first["lv_ef_prediction_percent"])) == ("p1", "A", 50)
    assert (second["lv_ef_reference_percent"], second["lv_ef_prediction_percent"]) == ("60.0", "")
    summary = json.loads((tmp_path / "new" / "clinical.json").read_text())
    assert (summary["num_patients"], summary["num_excluded"]) == (2, 1)
    assert {(each["patient"], each["index"]) for each in summary["excluded"]} == {("p2", "lv_ef"), ("p3", "")}
    volumes, fractions = (summary["indices"][key] for key in ("lv_edv", "lv_ef"))
    assert (volumes["all"]["n"], volumes["all"]["missed"], volumes["all"]["bias"]) == (2, 1, -50)
    assert (fractions["all"]["n"], fractions["all"]["missed"], fractions["all"]["bias"]) == (1, 1, -10)
    assert list(fractions["groups"]) == ["A"]
    assert fractions["all"]["sd"] is None
    assert summary["unassigned_cases"] == ["p3_ES"]


def test_what_cannot_be_measured_says_why():
    scores, groups = heart("p", ed=(100, 100), es=(40, 40))
    no_phase = [CaseGroup(row.case, row.patient, "", row.group) for row in groups]
    other_phase = [CaseGroup(row.case, row.patient, "diastole", row.group) for row in groups]
    strangers = [CaseGroup(f"0{row.case}", row.patient, row.phase, row.group) for row in groups]

    with pytest.raises(ValueError, match="No label is called LV, RV or MYO"):
        measure((scores, groups), names={"1": "anterior"})
    with pytest.raises(ValueError, match=r"No case has the phase ED or ES \(there is none\)"):
        measure((scores, no_phase))
    with pytest.raises(ValueError, match=r"No case has the phase ED or ES \(p_ED has diastole\)"):
        measure((scores, other_phase))
    with pytest.raises(ValueError, match=r"None of the cases with a phase was evaluated \(0p_ED, …; evaluated were p_"):
        measure((scores, strangers))


def acdc_info(folder: Path) -> dict[str, str]:
    return dict(line.split(": ") for line in (folder / "Info.cfg").read_text().splitlines() if line)


def acdc_label_map(folder: Path, frame: str) -> SimpleITK.Image:
    return SimpleITK.ReadImage(str(folder / f"{folder.name}_frame{int(frame):02d}_gt.nii.gz"))


def acdc_volumes(data_folder: Path) -> tuple[list[LabelScores], list[CaseGroup]]:
    scores, groups = [], []
    for folder in sorted((data_folder / "acdc" / "training").glob("patient*")):
        info = acdc_info(folder)
        for phase in ("ED", "ES"):
            label_map = acdc_label_map(folder, info[phase])
            statistics = SimpleITK.LabelShapeStatisticsImageFilter()
            statistics.Execute(label_map)
            case = f"{folder.name}_{phase}"
            groups.append(CaseGroup(case, folder.name, phase, info["Group"]))
            for label in (1, 2, 3):
                volume_ml = statistics.GetPhysicalSize(label) / 1000 if statistics.HasLabel(label) else 0.0
                scores.append(score(case, str(label), volume_ml, volume_ml))
    return scores, groups


@pytest.fixture(scope="module")
def acdc(data_folder):
    return measure_patients(*acdc_volumes(data_folder), label_names=ACDC_NAMES)


@pytest.mark.real_data
def test_acdc_reference_labels_are_plausible_by_group(acdc):
    assert len(acdc.patients) == 80
    assert acdc.excluded == ()
    means = {
        (index.key, group): acdc.agreement(index, group=group).reference_mean
        for index in acdc.indices
        for group in acdc.groups
    }
    assert means["lv_ef", "DCM"] < 40
    assert 50 < means["lv_ef", "NOR"] < 75
    assert means["lv_ef", "HCM"] > 60
    assert means["lv_ef", "MINF"] < 45
    assert means["rv_edv", "RV"] > means["rv_edv", "NOR"]
    assert means["rv_edv", "RV"] == max(means["rv_edv", group] for group in acdc.groups)
    assert means["lv_edv", "DCM"] == max(means["lv_edv", group] for group in acdc.groups)
    assert means["myo_mass", "HCM"] > means["myo_mass", "NOR"]
    for index in acdc.indices:
        agreement = acdc.agreement(index)
        assert (agreement.n, agreement.bias, agreement.sd) == (80, 0, 0)
        assert agreement.pearson_r == pytest.approx(1)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["patient002", "patient031", "patient077"])
def test_acdc_ejection_fraction_by_counting_voxels(acdc, data_folder, name):
    folder = data_folder / "acdc" / "training" / name
    info = acdc_info(folder)
    volumes_ml = {}
    for phase in ("ED", "ES"):
        path = folder / f"{name}_frame{int(info[phase]):02d}_gt.nii.gz"
        header = SimpleITK.ImageFileReader()
        header.SetFileName(str(path))
        header.ReadImageInformation()
        values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        for label, structure in ((1, "rv"), (2, "myo"), (3, "lv")):
            volumes_ml[phase, structure] = (values == label).sum() * np.prod(header.GetSpacing()) / 1000

    patient = next(each for each in acdc.patients if each.patient == name)
    for side in SIDES:
        found = getattr(patient, side)
        for cavity in ("lv", "rv"):
            ed, es = volumes_ml["ED", cavity], volumes_ml["ES", cavity]
            assert found[f"{cavity}_ef"] == pytest.approx((ed - es) / ed * 100, rel=1e-9)
        assert found["myo_mass"] == pytest.approx(volumes_ml["ED", "myo"] * 1.05, rel=1e-9)
