"""Runs of the study of plausibility: an ensemble's predictions of one dataset, a prior, and what each finds."""

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.casewise.journal import Journal
from acnn_nnunet.casewise.work import PerWorker
from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.plausibility.calibrate import calibrate
from acnn_nnunet.plausibility.calibration import Calibration
from acnn_nnunet.plausibility.cases import rows_of, score_cases
from acnn_nnunet.plausibility.measures import area_under_risk
from acnn_nnunet.plausibility.prior_scores import load_prior_scorer
from acnn_nnunet.plausibility.scores import Prediction, Scorer, scores_of
from acnn_nnunet.plausibility.subject import subject_of_prior
from acnn_nnunet.plausibility.table import EMPTY, EXCLUDED, SCORED, PlausibilityRow
from scripts.studies.host_folders import ROOT
from scripts.studies.plausibility.images import CALIBRATION, CLEAN, CONFIRMATION, CORRUPTED, STRANGE
from scripts.studies.plausibility.measures import coverage, detection, summary, with_intervals

RESULTS = ROOT / "benchmarks" / "plausibility"
LEVEL, RECALL = 0.9, 0.9
NUM_TIMED = 10
EVERYTHING = "everything"
ARMS = {
    "members alone": ("members",),
    "prior alone": ("prior",),
    "rules alone": ("rules",),
    "members and rules": ("members", "rules"),
    "members and prior": ("members", "prior"),
    "prior and rules": ("prior", "rules"),
}
"""Where the scores of each arm come from."""
AGAINST = ("members alone", "rules alone")
NOVELTIES = {
    EVERYTHING: "novelty: prior, volume",
    "members alone": "novelty: members, volume",
    "rules alone": "novelty: volume",
}
"""The arms that see novelty by other scores."""


@dataclass(frozen=True)
class Case:
    """One prediction of the study: which part it belongs to, its patient and the kind of image."""

    part: str
    case: str
    kind: str
    patient: str


class Run:
    """One dataset: predictions in WORK/NAME, scored with a prior and measured."""

    def __init__(self, name: str, folder: Path, *, prior_file: Path, rules_file: Path | None, grouped: bool):
        self.name, self.folder = name, folder
        prior = load_prior_scorer(prior_file)
        self.models = sorted(path.name for path in (folder / "members").iterdir())
        self.scorer = Scorer(subject_of_prior(prior.coder, rules_file), prior, num_members=len(self.models))
        chosen = json.loads((folder / "chosen.json").read_text())
        self.cases = {
            key: Case(part, case, kind, case.rsplit("_", 1)[0] if grouped else case)
            for key, (part, case, kind) in chosen.items()
            if (folder / "ensemble" / f"{key}.nii.gz").is_file()
        }

    def run(self) -> dict[str, Any]:
        """Score, calibrate and measure every arm, and write the JSON."""
        rows = self.scored()
        patients = {key: each.patient for key, each in self.cases.items()}
        learnt = [row for row in rows if self.cases[row.case].part == CALIBRATION]
        measured = [row for row in rows if self.is_measured(row)]
        judged, calibrations = {}, {}
        for arm, sources in self.arms().items():
            calibrations[arm] = self.calibration(learnt, sources, patients)
            judged[arm] = calibrations[arm].judged(measured)
        content = {
            "models": self.models,
            "prior": {"sha256": self.scorer.prior.coder.prior.sha256, "training_cases": self.num_prior_cases()},
            "calibration": {"predictions": len(learnt), "patients": len({patients[row.case] for row in learnt})},
            "measured": {"predictions": len(measured), "patients": len({patients[row.case] for row in measured})},
            "arms": self.figures(judged, patients),
            "perfect_aurc": _perfect_aurc(self.known(judged[EVERYTHING])),
            "structures": {name: self.figures(judged, patients, name) for name in self.scorer.subject.names},
            "weights": {name: self.weights(each) for name, each in calibrations[EVERYTHING].structures.items()},
            "coverage": self.coverage(judged[EVERYTHING]),
            "coverage_learnt_from_clean": self.coverage(self.learnt_from_clean(learnt, measured, patients)),
            "reviews": {arm: summary(self.known(each)) for arm, each in judged.items()},
            "out_of_distribution": self.strange(rows, calibrations),
            "seconds_per_case": self.time_cases(),
        }
        RESULTS.mkdir(parents=True, exist_ok=True)
        write_json(RESULTS / f"{self.name}.json", content)
        return content

    def arms(self) -> dict[str, tuple[str, ...]]:
        """Return the sources of the arms that there are: everything, and those of fewer sources."""
        present = self.scorer.sources
        others = {arm: own for arm, own in ARMS.items() if set(own) < set(present)}
        return {EVERYTHING: present, **others}

    def scored(self) -> list[PlausibilityRow]:
        """Return the row of each prediction; what WORK holds already is not scored again."""
        folder = self.folder
        found = {
            key: Prediction(
                key,
                folder / "ensemble" / f"{key}.nii.gz",
                tuple(folder / "members" / model / f"{key}.nii.gz" for model in self.models),
                (),
                folder / "labels" / f"{key}.nii.gz" if each.kind in (CLEAN, *CORRUPTED) else None,
            )
            for key, each in self.cases.items()
        }
        journal = Journal.of_part(folder / "scores", num_parts=1, part_id=0)
        rules = [rule.as_plain() for rule in self.scorer.subject.rules]
        header = {"prior": self.scorer.prior.coder.prior.sha256, "models": self.models, "rules": rules}
        journal.go_on(header, may_change=())
        score_cases(PerWorker(lambda: self.scorer), found, journal)
        return rows_of(journal.entries_of(list(found)))

    def is_measured(self, row: PlausibilityRow) -> bool:
        """Return whether a row is of a new patient and has true scores."""
        case = self.cases[row.case]
        return case.part == CONFIRMATION and case.kind in (CLEAN, *CORRUPTED) and row.status != EXCLUDED

    def calibration(
        self, rows: Sequence[PlausibilityRow], sources: Sequence[str], patients: dict[str, str]
    ) -> Calibration:
        """Return the calibration of an arm."""
        names = [name for source in sources for name in scores_of(source)]
        return calibrate(
            rows,
            patient_of=patients,
            sources=sources,
            structure_scores=[name for name in names if name in self.scorer.structure_scores],
            case_scores=[name for name in names if name in self.scorer.case_scores],
            recall=RECALL,
            level=LEVEL,
        )[0]

    def learnt_from_clean(
        self, learnt: Sequence[PlausibilityRow], measured: Sequence[PlausibilityRow], patients: dict[str, str]
    ) -> list[PlausibilityRow]:
        """Return the measured rows, judged by a calibration of clean images alone."""
        clean = [row for row in learnt if self.cases[row.case].kind == CLEAN]
        return self.calibration(clean, self.scorer.sources, patients).judged(measured)

    def known(self, rows: Sequence[PlausibilityRow]) -> list[PlausibilityRow]:
        """Return rows with a plausibility and true scores."""
        return [row for row in rows if row.plausibility is not None and row.dice is not None]

    def figures(
        self, judged: dict[str, list[PlausibilityRow]], patients: dict[str, str], name: str | None = None
    ) -> dict[str, Any]:
        """Return the figures of every arm, for the case or for a structure."""
        rows = {arm: [_of_structure(row, name) for row in each] for arm, each in judged.items()}
        usable = [
            index
            for index, _ in enumerate(next(iter(rows.values())))
            if all(each[index].plausibility is not None and each[index].dice is not None for each in rows.values())
        ]
        chosen = {arm: [each[index] for index in usable] for arm, each in rows.items()}
        first = next(iter(chosen.values()))
        truth = {key: np.array([getattr(row, key) for row in first], dtype=float) for key in ("dice", "hausdorff_mm")}
        units = np.unique([patients[row.case] for row in first], return_inverse=True)[1]
        values = {arm: np.array([row.plausibility for row in each], dtype=float) for arm, each in chosen.items()}
        return with_intervals(values, truth, units, against=AGAINST)

    def coverage(self, rows: Sequence[PlausibilityRow]) -> dict[str, Any]:
        """Return the coverage of the intervals on clean and on corrupted images, per structure and in all."""
        found = {}
        for which, kinds in (("clean", (CLEAN,)), ("corrupted", CORRUPTED)):
            own = [row for row in rows if self.cases[row.case].kind in kinds and row.status == SCORED]
            names = self.scorer.subject.names
            found[which] = {"all": coverage(own, names), **{name: coverage(own, [name]) for name in names}}
        return found

    def strange(self, rows: Sequence[PlausibilityRow], calibrations: dict[str, Calibration]) -> dict[str, Any]:
        """Return the detection rates of images unlike the training's, by score and kind, and those of the verdict."""
        usual = [row for row in rows if self.is_measured(row) and self.cases[row.case].kind == CLEAN]
        kinds = [kind for kind in STRANGE if any(each.kind == kind for each in self.cases.values())]
        strange = {
            kind: [row for row in rows if self.cases[row.case].kind == kind and row.status != EXCLUDED]
            for kind in kinds
        }
        found = {}
        for arm, calibration in calibrations.items():
            own = {kind: calibration.judged(each) for kind, each in strange.items()}
            clean = calibration.judged(usual)
            found[arm] = detection(clean, own, _implausibility)
            if arm in NOVELTIES:
                found[NOVELTIES[arm]] = detection(clean, own, lambda row: row.novelty)
            if arm == EVERYTHING:
                unusual = {kind: _share_of_unusual(each) for kind, each in {CLEAN: clean, **own}.items()}
        found["mahalanobis"] = detection(usual, strange, lambda row: row.scores.get("mahalanobis"))
        return {"cases": {kind: len(each) for kind, each in strange.items()}, "found": found, "unusual": unusual}

    def weights(self, known: Any) -> dict[str, list[float]]:
        """Return what each score of a structure weighs for Dice and for the Hausdorff distance."""
        estimator = known.estimator
        pairs = zip(estimator.scores, estimator.dice.line.weights, estimator.hausdorff_mm.line.weights, strict=True)
        return {name: [round(dice, 3), round(far, 3)] for name, dice, far in pairs}

    def num_prior_cases(self) -> dict[str, int]:
        """Return how many cases the prior was trained on, and how many of these are calibrated or measured on."""
        seen = set(self.scorer.prior.coder.prior.spec.training_cases)
        own = {part: {each.case for each in self.cases.values() if each.part == part} for part in _PARTS}
        return {"all": len(seen), **{part: len(seen & cases) for part, cases in own.items()}}

    def time_cases(self) -> dict[str, float]:
        """Return the median and the longest CPU time to read and score one case, the model being loaded."""
        keys = list(self.cases)[:: max(1, len(self.cases) // NUM_TIMED)][:NUM_TIMED]
        members = [[self.folder / "members" / model / f"{key}.nii.gz" for model in self.models] for key in keys]
        seconds = []
        for key, files in [(keys[0], members[0]), *zip(keys, members, strict=True)]:  # the first one warms up
            start = time.process_time()
            self.scorer.score(Prediction(key, self.folder / "ensemble" / f"{key}.nii.gz", tuple(files)))
            seconds.append(time.process_time() - start)
        rest = seconds[1:]
        return {"cases": len(rest), "median": round(statistics.median(rest), 3), "longest": round(max(rest), 3)}


_PARTS = (CALIBRATION, CONFIRMATION)


def _perfect_aurc(rows: Sequence[PlausibilityRow]) -> float:
    """Return the area under the risk-coverage curve of the order by true Dice: no score can do better."""
    dice = np.array([row.dice for row in rows], dtype=float)
    return area_under_risk(dice, dice)


def _share_of_unusual(rows: Sequence[PlausibilityRow]) -> float:
    return float(np.mean([row.status == EMPTY or bool(row.unusual) for row in rows]))


def _implausibility(row: PlausibilityRow) -> float | None:
    return None if row.plausibility is None else -row.plausibility


def _of_structure(row: PlausibilityRow, name: str | None) -> PlausibilityRow:
    """Return a row with a structure's expected and true Dice in the place of the case's."""
    if name is None:
        return row
    each = row.structures.get(name)
    if row.status == EMPTY or each is None:
        return replace(row, dice=None)
    expected = None if each.expected_dice is None else each.expected_dice.value
    return replace(row, plausibility=expected, dice=each.dice, hausdorff_mm=each.hausdorff_mm)
