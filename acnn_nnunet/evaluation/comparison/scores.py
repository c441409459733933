"""Evaluation folders of several arms, checked to be pairs and aligned into arrays."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.evaluation.comparison.references import check_same_files, check_same_volumes
from acnn_nnunet.evaluation.masks.scores import BOTH_EMPTY, METRICS, LabelScores
from acnn_nnunet.evaluation.masks.table import CASES_FILE, LARGEST_COMPONENT_FILE, read_scores
from acnn_nnunet.files.patients import read_groups

SUMMARY_FILE = "summary.json"
NO_CLEAN_UP, LARGEST_COMPONENT = "none", "largest component"
TABLES = {NO_CLEAN_UP: CASES_FILE, LARGEST_COMPONENT: LARGEST_COMPONENT_FILE}
# The value of a label that is rightly left empty, where another arm finds something: overlap 1, distances 0.
PERFECT = {metric: 0.0 if metric.endswith("_mm") else 1.0 for metric in METRICS}
HIGHER_IS_BETTER = {metric: best == 1.0 for metric, best in PERFECT.items()}
FOREGROUND = "foreground"
# Of a case as a whole, by the anatomical rules of its evaluation.
WHOLE_CASE = "case"
CASE_METRIC_TITLES = {"implausible_slices": "implausible slices", "implausible": "implausible cases, share"}
ALL_CASES = "all"
_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_Key = tuple[str, str]


@dataclass(frozen=True)
class PairedScores:
    """The scores of all arms on the same cases and labels.

    Attributes:
        folders: arm's name to its evaluation folder; the first is the baseline.
        cases: names, sorted.
        labels: as in the tables, then `foreground` (mean over a case's labels) where there are two or more.
        label_names: label to name ("1" to "RV"), where summary.json has them.
        values: clean-up to (arms, cases, labels, metrics); NaN where the label is empty in the reference and all arms.
        statuses: (arms, cases, labels without foreground), before any clean-up.
        strata: name to bool (cases,): all cases, then phases and groups of groups.csv; a case may be in none.
        units: (cases,) ints; cases of one patient share one.
        by_patient: whether a patient has several cases.
        tolerance_mm: of the surface Dice, where known.
        excluded: arm to (case, reason) that `evaluate` left out.
        files: arm to case to (reference file, prediction file), where summary.json has them.
        readers: arm to the name of the host's reader of its files, where summary.json has it.
        images: arm to the folder of the images, where summary.json has it.
        without_digests: arms of an earlier version, which noted less of the references.
    """

    folders: dict[str, Path]
    cases: tuple[str, ...]
    labels: tuple[str, ...]
    label_names: dict[str, str]
    values: dict[str, np.ndarray]
    statuses: np.ndarray
    strata: dict[str, np.ndarray]
    units: np.ndarray
    by_patient: bool
    tolerance_mm: float | None
    excluded: dict[str, list[_Key]]
    files: dict[str, dict[str, tuple[str, str]]]
    readers: dict[str, str | None]
    images: dict[str, str | None]
    without_digests: list[str] = field(default_factory=list)

    @property
    def arms(self) -> tuple[str, ...]:
        """Names, the baseline first."""
        return tuple(self.folders)

    def count_statuses(self, status: str) -> dict[str, int]:
        """Return, for every arm, how many case-and-label rows have a status."""
        return {arm: int((self.statuses[index] == status).sum()) for index, arm in enumerate(self.arms)}

    def title(self, label: str) -> str:
        """Return how a label is called in tables: "RV (1)", or the label itself where it has no name."""
        name = self.label_names.get(label)
        return f"{name} ({label})" if name and name != label else label


def parse_arms(words: Sequence[str]) -> dict[str, Path]:
    """Return the arms of `NAME=FOLDER` words.

    Raises:
        ValueError: if a word is not of that form, or a name comes twice.
    """
    arms: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not (name and equals and folder):
            raise ValueError(f"{word!r} is no NAME=FOLDER, e.g. baseline=eval/nnunet.")
        if name in arms:
            raise ValueError(f"The arm {name} is given twice ({arms[name]} and {folder}): give each its own name.")
        arms[name] = Path(folder)
    return arms


def read_paired_scores(arms: Mapping[str, Path], *, groups: Path | None = None) -> PairedScores:
    """Read the evaluation folders of two or more arms and align them.

    A label that is empty in the reference and in all arms does not apply and is left out of that case for every arm.
    Where one arm finds something in it, the arms that rightly left it empty count as perfect.

    Args:
        arms: name to folder that `acnn-nnunet evaluate` wrote; the first is the baseline.
        groups: groups.csv: case, group and optionally patient and phase.

    Raises:
        FileNotFoundError: if a folder lacks a file.
        ValueError: if the folders are no pairs; names what differs.
    """
    folders = {name: Path(folder) for name, folder in arms.items()}
    _check_arms(folders)
    summaries = {name: _read_summary(folder) for name, folder in folders.items()}
    tables = {
        clean_up: {name: {(s.case, s.label): s for s in read_scores(folder / file)} for name, folder in folders.items()}
        for clean_up, file in TABLES.items()
    }
    plain = tables[NO_CLEAN_UP]
    excluded = {name: _read_excluded(summary) for name, summary in summaries.items()}
    for clean_up, scores in tables.items():
        _check_same_rows(scores, excluded, TABLES[clean_up])
        check_same_volumes(scores)
    without_digests = check_same_files(summaries)
    _check_same_ignore_label(summaries)
    first = next(iter(plain.values()))
    if {key for table in tables[LARGEST_COMPONENT].values() for key in table} != set(first):
        raise ValueError(f"{CASES_FILE} and {LARGEST_COMPONENT_FILE} of {next(iter(folders))} hold different rows.")
    labels = tuple(dict.fromkeys(label for _, label in first))
    cases = tuple(sorted({case for case, _ in first}))
    strata, patients = _read_strata(groups, cases)
    return PairedScores(
        folders=folders,
        cases=cases,
        labels=(*labels, FOREGROUND) if len(labels) > 1 else labels,
        label_names=_agreed(summaries, "label_names") or {},
        values={clean_up: _align(scores, cases, labels) for clean_up, scores in tables.items()},
        statuses=np.array([[[s[case, label].status for label in labels] for case in cases] for s in plain.values()]),
        strata=strata,
        units=np.unique(patients, return_inverse=True)[1],
        by_patient=len(set(patients)) < len(cases),
        tolerance_mm=_agreed(summaries, "tolerance_mm"),
        excluded=excluded,
        files={name: _read_files(summary) for name, summary in summaries.items()},
        readers={name: summary.get("reader") for name, summary in summaries.items()},
        images={name: summary.get("images") for name, summary in summaries.items()},
        without_digests=without_digests,
    )


def _check_arms(folders: Mapping[str, Path]) -> None:
    if len(folders) < 2:
        raise ValueError("A comparison needs two or more arms: NAME=FOLDER NAME=FOLDER.")
    for name in folders:
        if not _ARM_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name an arm: use letters, digits, '.', '_', '+' and '-'.")
    seen: dict[Path, str] = {}
    for name, folder in folders.items():
        if not folder.is_dir():
            raise FileNotFoundError(
                f"Arm {name}: there is no folder {folder}; `acnn-nnunet evaluate GT PRED -o {folder}` makes it."
            )
        if (other := seen.setdefault(folder.resolve(), name)) != name:
            raise ValueError(f"The arms {other} and {name} are the same folder, {folder}.")


def _read_summary(folder: Path) -> dict[str, Any]:
    path = folder / SUMMARY_FILE
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: `acnn-nnunet evaluate GT PRED -o {folder}` writes it.")
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): evaluate again.") from error
    if not isinstance(summary, dict):
        raise ValueError(f"{path} is no summary of `acnn-nnunet evaluate`.")
    return summary


def _read_excluded(summary: dict[str, Any]) -> list[_Key]:
    return [(str(entry["case"]), str(entry.get("reason", ""))) for entry in summary.get("excluded") or ()]


def _read_files(summary: dict[str, Any]) -> dict[str, tuple[str, str]]:
    entries = (entry for entry in summary.get("metric_per_case") or () if "case" in entry)
    return {e["case"]: (str(e.get("reference_file", "")), str(e.get("prediction_file", ""))) for e in entries}


def _agreed(summaries: Mapping[str, dict[str, Any]], key: str) -> Any:
    """Return what the summaries that have a key say of it, if it is the same."""
    stated = {name: summary[key] for name, summary in summaries.items() if summary.get(key) is not None}
    for name, value in stated.items():
        first, expected = next(iter(stated.items()))
        if value != expected:
            raise ValueError(f"{key} is {expected} in arm {first} and {value} in arm {name}: evaluate both alike.")
    return next(iter(stated.values()), None)


def _check_same_ignore_label(summaries: Mapping[str, dict[str, Any]]) -> None:
    """Raise ValueError if arms left out other voxels: in one they count as background, which the digest cannot show."""
    stated = {name: summary["ignore_label"] for name, summary in summaries.items() if "ignore_label" in summary}
    for name, value in stated.items():
        first, expected = next(iter(stated.items()))
        if value != expected:
            words = ["no ignore label" if each is None else f"the ignore label {each}" for each in (expected, value)]
            raise ValueError(
                f"Arm {first} was evaluated with {words[0]} and arm {name} with {words[1]}: evaluate both alike (-il)."
            )


def _check_same_rows(
    tables: Mapping[str, Mapping[_Key, LabelScores]], excluded: Mapping[str, list[_Key]], file: str
) -> None:
    everything = {key for table in tables.values() for key in table}
    if not everything:
        raise ValueError(f"{file} holds no case in any arm: there is nothing to compare.")
    for name, table in tables.items():
        if not (missing := sorted(everything - set(table))):
            continue
        absent = sorted({case for case, _ in missing} - {case for case, _ in table})
        what = _some(absent, "case") if absent else _some([f"{c}, label {label}" for c, label in missing], "row")
        reasons = dict(excluded[name])
        why = next((f" ({case} was excluded: {reasons[case].rstrip('.')})" for case in absent if case in reasons), "")
        raise ValueError(
            f"Arm {name} lacks {what} in {file} that another arm has{why}, and only the same cases compare: mend the "
            "files and run acnn-nnunet evaluate --continue, or leave the cases out of every arm."
        )


def _align(tables: Mapping[str, Mapping[_Key, LabelScores]], cases: Iterable[str], labels: Iterable[str]) -> np.ndarray:
    """Return (arms, cases, labels and foreground, metrics), NaN where a label applies in no arm."""
    values = np.array(
        [[[_metrics_of(table[case, label]) for label in labels] for case in cases] for table in tables.values()]
    )
    applies = ~np.isnan(values).any(axis=3)
    in_some_arm = applies.any(axis=0)
    rightly_empty = in_some_arm & ~applies
    values[rightly_empty] = list(PERFECT.values())
    if values.shape[2] < 2:
        return values
    counts = in_some_arm.sum(axis=1)[None, :, None]
    sums = np.nansum(values, axis=2)
    foreground = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return np.concatenate([values, foreground[:, :, None]], axis=2)


def _metrics_of(score: LabelScores) -> list[float]:
    metrics = [getattr(score, metric) for metric in METRICS]
    if score.status == BOTH_EMPTY:
        return [np.nan] * len(METRICS)
    if None in metrics:
        raise ValueError(
            f"Case {score.case}, label {score.label}: {METRICS[metrics.index(None)]} is empty although the status is "
            f"{score.status}: evaluate again."
        )
    return metrics


def _read_strata(path: Path | None, cases: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the strata (all cases, phases, groups; an empty cell belongs to none) and the patient of every case."""
    strata = {ALL_CASES: np.ones(len(cases), dtype=bool)}
    if path is None:
        return strata, list(cases)
    rows = {row.case: row for row in read_groups(path)}
    if missing := [case for case in cases if case not in rows]:
        raise ValueError(f"{path} lacks {_some(missing, 'case')} that the arms have.")
    phases = [f"phase {rows[case].phase}" if rows[case].phase else "" for case in cases]
    groups = [rows[case].group for case in cases]
    for members in (phases, groups):
        for name in sorted(set(members) - {""}):
            if name in strata:
                raise ValueError(f"{path}: a group cannot be called {name!r}, which stands for other cases.")
            strata[name] = np.array([member == name for member in members])
    return strata, [rows[case].patient for case in cases]


def _some(items: Sequence[str], noun: str, *, shown: int = 3) -> str:
    """Return the first few of some items and how many there are: "3 cases (a, b, c)"."""
    more = ", …" if len(items) > shown else ""
    return f"{len(items)} {noun}{'s' if len(items) > 1 else ''} ({'; '.join(items[:shown])}{more})"
