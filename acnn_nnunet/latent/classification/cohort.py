"""The patients that a classification is about: both phases known, in a group that can be trained and tested."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from acnn_nnunet.files.patients import (
    CONVERSION_FILE,
    PHASES,
    CaseGroup,
    Exclusion,
    person_of,
    read_conversion_report,
)


@dataclass(frozen=True)
class Member:
    """A patient of the cohort.

    Attributes:
        name: the patient.
        person: the same for two patients with one image; their cases share a fold.
        group: such as a diagnosis.
        cases: the case of each phase.
    """

    name: str
    person: str
    group: str
    cases: dict[str, str]


@dataclass(frozen=True)
class Cohort:
    """Patients of at least two groups, and who was left out.

    Attributes:
        members: sorted by name.
        classes: the groups, in the order asked for.
        excluded: patients and cases that were left out of these groups, or whose group is unknown.
        num_others: patients of other groups than were asked for.
    """

    members: tuple[Member, ...]
    classes: tuple[str, ...]
    excluded: tuple[Exclusion, ...]
    num_others: int = 0

    @property
    def targets(self) -> np.ndarray:
        """(N,) ints, the class of each member."""
        return np.array([self.classes.index(member.group) for member in self.members])

    @property
    def units(self) -> np.ndarray:
        """(N,) ints, the person of each member."""
        return np.unique([member.person for member in self.members], return_inverse=True)[1]

    def cases(self, phase: str) -> list[str]:
        """Return the members' cases of a phase."""
        return [member.cases[phase] for member in self.members]

    def without(self, reasons: Mapping[str, str]) -> "Cohort":
        """Return the cohort without some patients, given with the reasons.

        Raises:
            ValueError: if fewer than two groups are left.
        """
        kept = [member for member in self.members if member.name not in reasons]
        gone = [Exclusion(name, reason) for name, reason in reasons.items()]
        return _enough(replace(self, members=tuple(kept), excluded=(*self.excluded, *gone)))


def select_cohort(
    rows: Sequence[CaseGroup],
    cases: Mapping[str, str],
    *,
    classes: Sequence[str] | None = None,
    twins: Mapping[str, str] | None = None,
) -> Cohort:
    """Return the patients of the wanted groups who have one code of either phase.

    Args:
        rows: case, patient, phase and group of all cases.
        cases: those that were encoded; with the reason, where there is no usable code.
        classes: the groups; None for all.
        twins: patients who are the same person as another patient.

    Raises:
        ValueError: if a group is unknown or asked for twice, or fewer than two groups are left.
    """
    known = sorted({row.group for row in rows} - {""})
    classes = tuple(classes or known)
    if wrong := next((name for name in classes if name not in known or classes.count(name) > 1), None):
        raise ValueError(f"The group {wrong} is asked for twice or unknown; the groups are {', '.join(known)}.")
    assigned = {row.case for row in rows}
    excluded = [Exclusion(case, "the case is not in the table of groups") for case in cases if case not in assigned]
    members, others = [], set()
    known_patients = _by_patient(rows, cases)
    for patient, own in known_patients.items():
        group = own[0].group
        if group and group not in classes:
            others.add(patient)
        elif reason := _reason_against(own, cases):
            excluded.append(Exclusion(patient, reason))
        else:
            person = person_of(patient, twins or {})
            members.append(Member(patient, person, group, {row.phase.upper(): row.case for row in own}))
    for patient, group in {row.patient: row.group for row in rows}.items():
        if patient not in known_patients and group in classes:
            excluded.append(Exclusion(patient, "has no case with a code"))
        elif patient not in known_patients and group:
            others.add(patient)
    members.sort(key=lambda member: member.name)
    return _enough(Cohort(tuple(members), classes, tuple(excluded), len(others)))


def read_twins(groups: Path) -> dict[str, str]:
    """Return the patients who are the same person as another, from the conversion's report beside the groups.

    Raises:
        ValueError: if the report cannot be read.
    """
    folder = Path(groups).parent
    return read_conversion_report(folder).twins if (folder / CONVERSION_FILE).is_file() else {}


def _by_patient(rows: Sequence[CaseGroup], cases: Collection[str]) -> dict[str, list[CaseGroup]]:
    """Return the rows of encoded cases by patient; where some are ED or ES, only those."""
    patients: dict[str, list[CaseGroup]] = {}
    for row in rows:
        if row.case in cases:
            patients.setdefault(row.patient, []).append(row)
    return {patient: [row for row in own if row.phase.upper() in PHASES] or own for patient, own in patients.items()}


def _reason_against(own: Sequence[CaseGroup], cases: Mapping[str, str]) -> str:
    if not own[0].group:
        return "has no group"
    count = Counter(row.phase.upper() for row in own)
    if missing := [phase for phase in PHASES if not count[phase]]:
        return f"has no {' and no '.join(missing)} case with a code"
    if several := [phase for phase in PHASES if count[phase] > 1]:
        return f"has several {several[0]} cases"
    return next((f"{row.case}: {cases[row.case]}" for row in own if cases[row.case]), "")


def _enough(cohort: Cohort) -> Cohort:
    """Return the cohort without groups of one person: none of them could be both learnt and tested."""
    persons = Counter(group for _, group in {(member.person, member.group) for member in cohort.members})
    alone = [member for member in cohort.members if persons[member.group] == 1]
    gone = [Exclusion(member.name, f"is the only person of group {member.group}") for member in alone]
    classes = tuple(name for name in cohort.classes if persons[name] > 1)
    if len(classes) < 2:
        reasons = "; ".join(f"{each.patient}: {each.reason}" for each in (*cohort.excluded, *gone)[:3])
        counts = ", ".join(f"{persons[name]} {name}" for name in cohort.classes) or "none"
        raise ValueError(
            f"Two groups of two or more patients with codes of ED and ES are needed, there are {counts}"
            f"{f' (left out: {reasons})' if reasons else ''}."
        )
    kept = tuple(member for member in cohort.members if member not in alone)
    return replace(cohort, members=kept, classes=classes, excluded=(*cohort.excluded, *gone))
