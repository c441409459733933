"""Indices that clinicians read: ventricular volumes, stroke volume, ejection fraction, myocardial mass, per patient.

Everything follows from the volumes in `cases.csv` and from `groups.csv`, which says whose and of which phase a case is.
"""

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from acnn_nnunet.evaluation.clinical.agreement import LIMITS_IN_SD, Agreement, measure_agreement
from acnn_nnunet.evaluation.masks.scores import LabelScores
from acnn_nnunet.files.patients import PHASES, CaseGroup, Exclusion
from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.files.tables import write_rows

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


class Values(Mapping[str, float | None]):
    """Numbers by key, eight bytes each; None where one is undefined. Cohorts have tens of thousands of patients."""

    __slots__ = ("_keys", "_numbers")

    def __init__(self, keys: tuple[str, ...], numbers: Iterable[float | None]) -> None:
        self._keys = keys
        self._numbers = array("d", (math.nan if number is None else number for number in numbers))

    def __getitem__(self, key: str) -> float | None:
        if key not in self._keys:
            raise KeyError(key)
        number = self._numbers[self._keys.index(key)]
        return None if math.isnan(number) else number

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


@dataclass(frozen=True, slots=True)
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
    reference: Mapping[str, float | None]
    prediction: Mapping[str, float | None]
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


def write_clinical(result: ClinicalResult, output: Path) -> None:
    """Write `clinical.csv` and `clinical.json` into a folder.

    Raises:
        OSError: if a file cannot be written.
    """
    Path(output).mkdir(parents=True, exist_ok=True)
    _write_table(Path(output) / TABLE_FILE, result)
    write_json(Path(output) / SUMMARY_FILE, _summary(result))


def measure_patients(
    scores: Iterable[LabelScores],
    groups: Sequence[CaseGroup],
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

    Raises:
        ValueError: if no label has one of the names, no case has a phase, or none of those that have was evaluated.
    """
    excluded_cases = dict(excluded_cases or {})
    structures = {name: label for name in (*CAVITIES, MYOCARDIUM) if (label := _label_of(name, label_names))}
    if not structures:
        raise ValueError(f"No label is called {', '.join(CAVITIES)} or {MYOCARDIUM}.")
    volumes = _volumes_of(scores, list(structures.values()))
    phases = _phases_by_patient(groups)
    patients, excluded = [], []
    for name, (group, cases) in phases.items():
        known = [case for of_phase in cases.values() for case in of_phase if case in volumes or case in excluded_cases]
        if not known:
            continue  # another fold's patient
        try:
            ed, es = (_volumes_of_phase(cases, phase, volumes, excluded_cases, structures) for phase in PHASES)
        except ValueError as error:
            excluded.append(Exclusion(name, str(error)))
            continue
        patients.append(_measure(name, group, ed, es))
    if not (patients or excluded):
        raise ValueError(_why_no_patient(groups, [*volumes, *excluded_cases]))
    indices = tuple(_indices(structures))
    assigned = {case for _, cases in phases.values() for of_phase in cases.values() for case in of_phase}
    return ClinicalResult(
        indices=indices,
        patients=tuple(patients),
        excluded=(*excluded, *_undefined(patients, indices)),
        unassigned_cases=tuple(case for case in volumes if case not in assigned),
    )


def _volumes_of(scores: Iterable[LabelScores], labels: Sequence[str]) -> dict[str, "array[float]"]:
    """Return of each case the volume in reference and prediction, of each label in turn; NaN where there is none."""
    volumes: dict[str, array[float]] = {}
    for score in scores:
        of_case = volumes.setdefault(score.case, array("d", [math.nan] * 2 * len(labels)))
        if score.label in labels:
            place = 2 * labels.index(score.label)
            for side, volume in enumerate((score.volume_reference_ml, score.volume_prediction_ml)):
                of_case[place + side] = math.nan if volume is None else volume
    return volumes


def _label_of(name: str, label_names: Mapping[str, str]) -> str | None:
    return next((label for label, given in label_names.items() if given.casefold() == name.casefold()), None)


def _why_no_patient(groups: Sequence[CaseGroup], evaluated: Sequence[str]) -> str:
    known = [row for row in groups if row.phase.upper() in PHASES]
    if not known:
        phase = next((f"{row.case} has {row.phase}" for row in groups if row.phase), "there is none")
        return f"No case has the phase {' or '.join(PHASES)} ({phase})."
    return f"None of the cases with a phase was evaluated ({known[0].case}, …; evaluated were {evaluated[0]}, …)."


def _phases_by_patient(groups: Iterable[CaseGroup]) -> dict[str, tuple[str, dict[str, list[str]]]]:
    """Return group and cases by phase of each patient of whom at least one case has a phase."""
    patients: dict[str, tuple[str, dict[str, list[str]]]] = {}
    for row in groups:
        if row.phase.upper() in PHASES:
            _, cases = patients.setdefault(row.patient, (row.group, {phase: [] for phase in PHASES}))
            cases[row.phase.upper()].append(row.case)
    return patients


def _volumes_of_phase(
    cases: Mapping[str, list[str]],
    phase: str,
    volumes: Mapping[str, "array[float]"],
    excluded_cases: Mapping[str, str],
    structures: Iterable[str],
) -> dict[str, tuple[float, float]]:
    """Return the volumes of a patient's case in a phase, (reference, prediction) in ml by structure.

    Raises:
        ValueError: with the reason to exclude the patient.
    """
    if len(cases[phase]) != 1:
        several = f"several cases are {phase}: {', '.join(cases[phase])}"
        raise ValueError(several if cases[phase] else f"no {phase} case")
    case = cases[phase][0]
    if case in excluded_cases:
        raise ValueError(f"the {phase} case {case} was excluded: {excluded_cases[case]}")
    if case not in volumes:
        raise ValueError(f"the {phase} case {case} was not evaluated")
    numbers = volumes[case].tolist()
    found = {name: (numbers[2 * place], numbers[2 * place + 1]) for place, name in enumerate(structures)}
    if without := [name for name, (reference, _) in found.items() if math.isnan(reference)]:
        raise ValueError(f"the {phase} case {case} has no volume of {', '.join(without)}")
    return found


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


def _measure(
    patient: str, group: str, ed: Mapping[str, tuple[float, float]], es: Mapping[str, tuple[float, float]]
) -> Patient:
    sides: dict[str, dict[str, float | None]] = {side: {} for side in SIDES}
    missed: set[str] = set()
    for structure in ed:
        key = structure.lower()
        for edv, esv, values in zip(ed[structure], es[structure], sides.values(), strict=True):
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
    keys = _shared(tuple(sides[REFERENCE]))
    reference, prediction = (Values(keys, values.values()) for values in sides.values())
    return Patient(patient, group, reference, prediction, frozenset(missed & set(keys)))


@cache
def _shared(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return one and the same tuple for equal keys: every patient has them."""
    return keys


def _is_missed(volumes: tuple[float, float]) -> bool:
    reference, prediction = volumes
    return reference > 0 and not prediction > 0


def _undefined(patients: Iterable[Patient], indices: Sequence[Index]) -> Iterable[Exclusion]:
    for patient in patients:
        for index in indices:
            empty = [side for side in SIDES if getattr(patient, side)[index.key] is None]
            if empty:
                reason = f"no {index.name}: the end-diastolic volume is 0 in the {' and the '.join(empty)}"
                yield Exclusion(patient.patient, reason, index.key)


def _write_table(path: Path, result: ClinicalResult) -> None:
    columns: dict[str, type] = {"patient": str, "group": str}
    columns |= {index.column(side): float for index in result.indices for side in SIDES}
    rows = (
        [each.patient, each.group, *(getattr(each, side)[index.key] for index in result.indices for side in SIDES)]
        for each in result.patients
    )
    write_rows(path, columns, rows)


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
