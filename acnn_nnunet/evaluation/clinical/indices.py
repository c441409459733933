"""Indices that clinicians read: ventricular volumes, stroke volume, ejection fraction, myocardial mass, per patient.

Everything follows from the volumes in `cases.csv` and from `groups.csv`, which says whose and of which phase a case is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acnn_nnunet.evaluation.clinical.agreement import LIMITS_IN_SD, Agreement, measure_agreement
from acnn_nnunet.evaluation.masks.scores import LabelScores
from acnn_nnunet.files.patients import PHASES, CaseGroup, Exclusion
from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.files.tables import columns_of, write_table

TABLE_FILE = "clinical.csv"
SUMMARY_FILE = "clinical.json"

# Customary in cardiac MR for the density of the myocardium (SCMR: Schulz-Menger et al., J Cardiovasc Magn Reson, 2020).
MYOCARDIUM_G_PER_ML = 1.05
CAVITIES = ("LV", "RV")
MYOCARDIUM = "MYO"
REFERENCE, PREDICTION = SIDES = ("reference", "prediction")

_EDV, _ESV, _SV, _EF = "end-diastolic volume", "end-systolic volume", "stroke volume", "ejection fraction"


@dataclass(frozen=True)
class Index:
    """One index of one structure.

    Attributes:
        key: short name, such as lv_edv.
        name: name for people, such as "LV end-diastolic volume".
        unit: ml, percent or g.
    """

    key: str
    name: str
    unit: str

    def column(self, side: str) -> str:
        """Return the column of `clinical.csv` that holds the reference's or the prediction's."""
        return f"{self.key}_{side}_{self.unit}"


@dataclass(frozen=True)
class Patient:
    """The indices of one patient, by key; None where one is undefined (an ejection fraction of nothing).

    Attributes:
        patient: name.
        group: such as a diagnosis, or empty.
        reference: from the reference's volumes.
        prediction: from the prediction's.
        missed: keys of the indices in which the prediction misses a structure that the reference has: its volume is 0.
    """

    patient: str
    group: str
    reference: dict[str, float | None]
    prediction: dict[str, float | None]
    missed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ClinicalResult:
    """Indices of all patients, and who is left out of which.

    Attributes:
        indices: those that the labels allow.
        patients: those with scores of both phases.
        excluded: the others, and of single indices (the `part`) those whose index is undefined.
        unassigned_cases: scored cases that are no patient's ED or ES.
    """

    indices: tuple[Index, ...]
    patients: tuple[Patient, ...]
    excluded: tuple[Exclusion, ...]
    unassigned_cases: tuple[str, ...] = ()

    @property
    def groups(self) -> list[str]:
        """Names of the groups, sorted; patients without one belong to none."""
        return sorted({patient.group for patient in self.patients} - {""})

    def pairs(self, index: Index, *, group: str | None = None) -> list[tuple[Patient, float, float]]:
        """Return (patient, reference, prediction) of those whose index is defined on both sides."""
        found = []
        for patient in self.patients:
            reference, prediction = patient.reference[index.key], patient.prediction[index.key]
            if group in (None, patient.group) and reference is not None and prediction is not None:
                found.append((patient, reference, prediction))
        return found

    def agreement(self, index: Index, *, group: str | None = None) -> Agreement:
        """Return how well the predicted index agrees with the reference's, in all patients or one group."""
        pairs = self.pairs(index, group=group)
        return measure_agreement([pair[1] for pair in pairs], [pair[2] for pair in pairs])


def write_clinical(
    scores: Iterable[LabelScores],
    groups: Iterable[CaseGroup],
    output: Path,
    *,
    label_names: Mapping[str, str],
    excluded_cases: Mapping[str, str] | None = None,
) -> ClinicalResult | None:
    """Write `clinical.csv` and `clinical.json` into a folder.

    Arguments as in `measure_patients`.

    Returns:
        What was measured, or None, and nothing is written, if no label has one of the names or no case has a phase.

    Raises:
        OSError: if a file cannot be written.
    """
    result = measure_patients(scores, groups, label_names=label_names, excluded_cases=excluded_cases)
    if not result.indices or not (result.patients or result.excluded):
        return None
    Path(output).mkdir(parents=True, exist_ok=True)
    write_table(Path(output) / TABLE_FILE, _table_columns(result))
    write_json(Path(output) / SUMMARY_FILE, _summary(result))
    return result


def measure_patients(
    scores: Iterable[LabelScores],
    groups: Iterable[CaseGroup],
    *,
    label_names: Mapping[str, str],
    excluded_cases: Mapping[str, str] | None = None,
) -> ClinicalResult:
    """Compute the indices of every patient of whom a case was evaluated.

    Args:
        scores: of all cases and labels, with volumes in ml.
        groups: case, patient, phase (ED or ES; others are passed over) and group.
        label_names: name of each label of `scores`, such as {"1": "RV", "2": "MYO", "3": "LV"}, in upper or lower case;
            structures without a label are passed over.
        excluded_cases: cases that could not be evaluated, with reasons; they exclude their patients.
    """
    excluded_cases = dict(excluded_cases or {})
    volumes: dict[str, dict[str, LabelScores]] = {}
    for score in scores:
        volumes.setdefault(score.case, {})[score.label] = score
    structures = {name: label for name in (*CAVITIES, MYOCARDIUM) if (label := _label_of(name, label_names))}
    phases = _phases_by_patient(groups)
    patients, excluded = [], []
    for name, (group, cases) in phases.items():
        known = [case for of_phase in cases.values() for case in of_phase if case in volumes or case in excluded_cases]
        if not known:
            continue  # another fold's patient
        try:
            ed, es = (_scores_of_phase(cases, phase, volumes, excluded_cases, structures) for phase in PHASES)
        except ValueError as error:
            excluded.append(Exclusion(name, str(error)))
            continue
        patients.append(_measure(name, group, ed, es))
    indices = tuple(_indices(structures))
    assigned = {case for _, cases in phases.values() for of_phase in cases.values() for case in of_phase}
    return ClinicalResult(
        indices=indices,
        patients=tuple(patients),
        excluded=(*excluded, *_undefined(patients, indices)),
        unassigned_cases=tuple(case for case in volumes if case not in assigned),
    )


def _label_of(name: str, label_names: Mapping[str, str]) -> str | None:
    return next((label for label, given in label_names.items() if given.casefold() == name.casefold()), None)


def _phases_by_patient(groups: Iterable[CaseGroup]) -> dict[str, tuple[str, dict[str, list[str]]]]:
    """Return group and cases by phase of each patient of whom at least one case has a phase."""
    patients: dict[str, tuple[str, dict[str, list[str]]]] = {}
    for row in groups:
        if row.phase.upper() in PHASES:
            _, cases = patients.setdefault(row.patient, (row.group, {phase: [] for phase in PHASES}))
            cases[row.phase.upper()].append(row.case)
    return patients


def _scores_of_phase(
    cases: Mapping[str, list[str]],
    phase: str,
    volumes: Mapping[str, Mapping[str, LabelScores]],
    excluded_cases: Mapping[str, str],
    structures: Mapping[str, str],
) -> dict[str, LabelScores]:
    """Return the scores of a patient's case in a phase by structure, or raise ValueError with the reason to exclude."""
    if len(cases[phase]) != 1:
        several = f"several cases are {phase}: {', '.join(cases[phase])}"
        raise ValueError(several if cases[phase] else f"no {phase} case")
    case = cases[phase][0]
    if case in excluded_cases:
        raise ValueError(f"the {phase} case {case} was excluded: {excluded_cases[case]}")
    if case not in volumes:
        raise ValueError(f"the {phase} case {case} was not evaluated")
    without = [
        name
        for name, label in structures.items()
        if label not in volumes[case] or volumes[case][label].volume_reference_ml is None
    ]
    if without:
        raise ValueError(f"the {phase} case {case} has no volume of {', '.join(without)}")
    return {name: volumes[case][label] for name, label in structures.items()}


def _indices(structures: Iterable[str]) -> Iterable[Index]:
    for structure in structures:
        key = structure.lower()
        if structure in CAVITIES:
            yield Index(f"{key}_edv", f"{structure} {_EDV}", "ml")
            yield Index(f"{key}_esv", f"{structure} {_ESV}", "ml")
            yield Index(f"{key}_sv", f"{structure} {_SV}", "ml")
            yield Index(f"{key}_ef", f"{structure} {_EF}", "percent")
        if structure == MYOCARDIUM:
            yield Index(f"{key}_mass", f"{structure} mass at end-diastole", "g")


def _measure(patient: str, group: str, ed: Mapping[str, LabelScores], es: Mapping[str, LabelScores]) -> Patient:
    sides: dict[str, dict[str, float | None]] = {side: {} for side in SIDES}
    missed: set[str] = set()
    for structure in ed:
        key = structure.lower()
        for side, values in sides.items():
            edv, esv = (getattr(scores[structure], f"volume_{side}_ml") for scores in (ed, es))
            if structure in CAVITIES:
                stroke = edv - esv
                values |= {f"{key}_edv": edv, f"{key}_esv": esv, f"{key}_sv": stroke}
                values[f"{key}_ef"] = 100 * stroke / edv if edv > 0 else None
            if structure == MYOCARDIUM:
                values[f"{key}_mass"] = MYOCARDIUM_G_PER_ML * edv
        if _is_missed(ed[structure]):
            missed |= {f"{key}_{index}" for index in ("edv", "sv", "ef", "mass")}
        if _is_missed(es[structure]):
            missed |= {f"{key}_{index}" for index in ("esv", "sv", "ef")}
    return Patient(patient, group, sides[REFERENCE], sides[PREDICTION], frozenset(missed & sides[REFERENCE].keys()))


def _is_missed(score: LabelScores) -> bool:
    return bool(score.volume_reference_ml) and not score.volume_prediction_ml


def _undefined(patients: Iterable[Patient], indices: Sequence[Index]) -> Iterable[Exclusion]:
    for patient in patients:
        for index in indices:
            empty = [side for side in SIDES if getattr(patient, side)[index.key] is None]
            if empty:
                reason = f"no {index.name}: the end-diastolic volume is 0 in the {' and the '.join(empty)}"
                yield Exclusion(patient.patient, reason, index.key)


def _table_columns(result: ClinicalResult) -> dict[str, list[Any]]:
    columns = columns_of(result.patients, ("patient", "group"))
    for index in result.indices:
        for side in SIDES:
            columns[index.column(side)] = [getattr(patient, side)[index.key] for patient in result.patients]
    return columns


def _summary(result: ClinicalResult) -> dict[str, Any]:
    return {
        "definitions": {
            "difference": "prediction - reference",
            "limits_of_agreement": f"bias -+ {LIMITS_IN_SD} sd",
            "ejection_fraction": "100 * (EDV - ESV) / EDV, in percent",
            "myocardium_g_per_ml": MYOCARDIUM_G_PER_ML,
            "missed": "patients whose predicted volume is 0 in a phase that the index needs; it counts as 0",
        },
        "num_patients": len(result.patients),
        "num_excluded": len({exclusion.patient for exclusion in result.excluded if not exclusion.part}),
        "indices": {index.key: _index_summary(result, index) for index in result.indices},
        "excluded": [exclusion.entry("index") for exclusion in result.excluded],
        "unassigned_cases": result.unassigned_cases,
    }


def _index_summary(result: ClinicalResult, index: Index) -> dict[str, Any]:
    def of(group: str | None) -> dict[str, Any]:
        patients = [patient for patient in result.patients if group in (None, patient.group)]
        missed = sum(index.key in patient.missed for patient in patients)
        return {**asdict(result.agreement(index, group=group)), "missed": missed}

    return {
        "name": index.name,
        "unit": index.unit,
        "all": of(None),
        "groups": {group: of(group) for group in result.groups},
    }
