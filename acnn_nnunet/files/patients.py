"""The patients of a dataset: `groups.csv`, folds that keep their cases together, the report of a conversion."""

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from acnn_nnunet.files.folders import composed
from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.files.tables import columns_of, read_table, write_table

PHASES = ("ED", "ES")
GROUPS_FILE = "groups.csv"
CONVERSION_FILE = "conversion_report.json"


@dataclass(frozen=True)
class CaseGroup:
    """One row of the table.

    Attributes:
        case: the case's name, as in imagesTr without channel and ending.
        patient: whom the case is of; cases of one patient belong to the same fold.
        phase: ED or ES, or empty.
        group: the patient's group, such as a diagnosis, or empty where it is unknown.
    """

    case: str
    patient: str
    phase: str
    group: str


@dataclass(frozen=True)
class Exclusion:
    """A patient that is left out.

    Attributes:
        patient: name.
        reason: for the user.
        part: what the patient is left out of, such as a challenge's part or an index; empty for everything.
    """

    patient: str
    reason: str
    part: str = ""

    def entry(self, part: str = "") -> dict[str, str]:
        """Return the entry of a JSON file, with the part under the given name or without it."""
        return {"patient": self.patient, **({part: self.part} if part else {}), "reason": self.reason}


@dataclass
class ConversionReport:
    """The outcome of a challenge's conversion, kept in the dataset's `conversion_report.json`.

    Attributes:
        source: the challenge's folder.
        training_patients: converted into imagesTr and labelsTr.
        test_patients: converted into imagesTs and, with labels, labelsTs.
        excluded: patients that were left out of training or testing.
        twins: a training patient, and the earlier one with the same image; both share a fold.
        notes: remarks on a patient's data.
    """

    source: str
    training_patients: list[str] = field(default_factory=list)
    test_patients: list[str] = field(default_factory=list)
    excluded: list[Exclusion] = field(default_factory=list)
    twins: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)


COLUMNS = tuple(field.name for field in fields(CaseGroup))


def write_groups(path: Path, rows: Iterable[CaseGroup]) -> None:
    """Write the table atomically.

    Raises:
        OSError: if it cannot be written.
    """
    write_table(path, columns_of(rows, COLUMNS))


def read_groups(path: Path) -> list[CaseGroup]:
    """Read a table with at least the columns case and group, in any order; further columns are ignored.

    Without a column patient, each case is its own patient; without a column phase, it has none. Groups, and
    phases, that differ in upper and lower case only are one, spelt as they come first. Names are in composed Unicode.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming file and line, if it is no such table, a case has no name or comes twice, or a patient is in
            two groups.
    """
    table = read_table(path, made_by=f"it is a CSV file with the columns {', '.join(COLUMNS)}.")
    table = replace(table, columns=[column.strip().lower() for column in table.columns])
    if missing := [column for column in ("case", "group") if column not in table.columns]:
        raise ValueError(f"{path}, line 1: the column {missing[0]} is missing; needed are case and group.")
    spelt: dict[str, str] = {}
    rows = [(where, _parse(cells, where, spelt)) for where, cells in table.rows()]
    _check(rows)
    return [row for _, row in rows]


def split_by_patient(rows: Sequence[CaseGroup], *, num_folds: int = 5, seed: int = 12345) -> list[dict[str, list[str]]]:
    """Return `[{"train": [cases], "val": [cases]}, …]`, the format of nnU-Net's splits_final.json.

    The shuffled patients of one group after the other are dealt out to the folds in turn, so that the folds' numbers of
    patients differ by one at most, those of each group too, and a group with one member is in one fold. Each case is
    validated once. With fewer patients than folds there are as many folds as patients.

    Raises:
        ValueError: for fewer than two patients or folds.
    """
    cases_of: dict[str, list[str]] = defaultdict(list)
    group_of: dict[str, str] = {}
    for row in rows:
        cases_of[row.patient].append(row.case)
        group_of.setdefault(row.patient, row.group)
    num_folds = min(num_folds, len(cases_of))
    if num_folds < 2:
        raise ValueError(f"Cross-validation needs at least two folds and two patients; there are {len(cases_of)}.")
    shuffle = random.Random(seed).shuffle
    dealt: list[str] = []
    for group in sorted(set(group_of.values())):
        patients = sorted(patient for patient in group_of if group_of[patient] == group)
        shuffle(patients)
        dealt += patients
    folds = [dealt[fold::num_folds] for fold in range(num_folds)]
    return [
        {
            "train": sorted(case for patient in dealt if patient not in validated for case in cases_of[patient]),
            "val": sorted(case for patient in validated for case in cases_of[patient]),
        }
        for validated in folds
    ]


def person_of(patient: str, twins: Mapping[str, str]) -> str:
    """Return the first of the patients who are one person: a twin's twin is the same person too."""
    for _ in twins:  # no circle that a user wrote leads on for ever
        patient = twins.get(patient, patient)
    return patient


def write_conversion_report(dataset: Path, report: ConversionReport) -> None:
    """Write the report into the dataset's folder."""
    excluded = [each.entry("part") for each in report.excluded]
    write_json(dataset / CONVERSION_FILE, {**asdict(report), "excluded": excluded})


def read_conversion_report(dataset: Path) -> ConversionReport:
    """Return the report in a dataset's folder.

    Raises:
        FileNotFoundError: if the dataset has none.
        ValueError: if it cannot be read.
    """
    path = Path(dataset) / CONVERSION_FILE
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: `acnn-nnunet convert` makes datasets that can be submitted.")
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = {each.name: content[each.name] for each in fields(ConversionReport)}
        if not isinstance(known["twins"], dict) or not all(isinstance(name, str) for name in known["twins"].values()):
            raise TypeError("its twins are no names of patients")
        return ConversionReport(**{**known, "excluded": [Exclusion(**each) for each in known["excluded"]]})
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): convert the dataset again.") from error


def _parse(cells: dict[str, str], where: str, spelt: dict[str, str]) -> CaseGroup:
    case, patient, phase, group = (composed(cells.get(column, "").strip()) for column in COLUMNS)
    if not case:
        raise ValueError(f"{where}: the case has no name.")
    phase, group = (spelt.setdefault(word.casefold(), word) for word in (phase, group))
    return CaseGroup(case, patient or case, phase, group)


def _check(rows: Iterable[tuple[str, CaseGroup]]) -> None:
    line_of: dict[str, str] = {}
    group_of: dict[str, str] = {}
    for where, row in rows:
        if row.case in line_of:
            raise ValueError(f"{where}: case {row.case} is there already, in {line_of[row.case]}.")
        line_of[row.case] = where.rpartition(", ")[2]
        if group_of.setdefault(row.patient, row.group) != row.group:
            raise ValueError(
                f"{where}: patient {row.patient} is in group {row.group!r} here and in {group_of[row.patient]!r} above."
            )
