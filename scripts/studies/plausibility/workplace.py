"""Runs of the study of plausibility: one prior and the predictions of one network."""

import argparse
import hashlib
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.files.safe_writes import write_json, write_text
from acnn_nnunet.fold_prior.coder import load_coder
from acnn_nnunet.plausibility.calibration import (
    Calibration,
    CalibrationCases,
    calibrate,
    judge_flags,
    judge_plausibilities,
)
from acnn_nnunet.plausibility.command import (
    Prediction,
    find_predictions,
    find_rules,
    patients_of_cases,
    score_folder,
)
from acnn_nnunet.plausibility.scores import PlausibilityScorer
from acnn_nnunet.plausibility.table import EMPTY, SCORED, PlausibilityRow
from scripts.studies.defaults.image_files import FILE_KINDS

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarks" / "latent" / "plausibility.json"
PAGE = ROOT / "docs" / "evidence" / "plausibility.md"
KINDS, SEPARATOR = FILE_KINDS, "__"
RECALL = 0.9
NUM_TIMED = 10
RESAMPLES = 1000


@dataclass(frozen=True)
class Arm:
    """What a calibration takes: scores but for some, and predictions of some kinds of images."""

    without: tuple[str, ...] = ()
    kinds: tuple[str, ...] = KINDS


OF_PRIOR = ("reconstruction_dice", "reconstruction_distance_mm", "mahalanobis", "image_disagreement", "image_dice")
ALONE = (*OF_PRIOR, "rule_violation")
ARMS = {
    "all scores": Arm(),
    "learnt from clean images": Arm(kinds=("clean",)),
    "without images": Arm(("image_disagreement", "image_dice")),
    "without rules": Arm(("rule_violation", "missing_labels")),
    "without the prior": Arm(OF_PRIOR),
    **{f"{name} alone": Arm(tuple({*ALONE, "missing_labels"} - {name})) for name in ALONE},
}
MAIN_ARM = "all scores"
PRIOR = "plausibility"


class Run:
    """One prior and one network's predictions."""

    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        coder = load_coder(arguments.prior)
        self.scorer = PlausibilityScorer(coder, find_rules(coder, arguments.rules))
        self.names = self.scorer.score_names(with_images=coder.has_predictor)
        self.patient_of, _ = patients_of_cases(arguments.groups, arguments.test / "labels")
        self.splits = json.loads(arguments.splits.read_text())
        images = arguments.test / "images" if coder.has_predictor else None
        references = arguments.test / "labels"
        self.predictions = find_predictions(arguments.predictions, coder, images=images, references=references)

    def run(self) -> None:
        """Score both parts, calibrate and measure every arm, time a case, and write the JSON."""
        parts = {fold: self.scored(fold) for fold in (self.arguments.calibrate_on, self.arguments.measure_on)}
        seen = self.seen(parts[self.arguments.calibrate_on])
        content = {
            "prior": {"sha256": self.scorer.coder.prior.sha256, "dataset": self.scorer.coder.prior.spec.dataset},
            "rules": [rule.name for rule in self.scorer.rules],
            "cases": {f"fold {fold}": {kind: len(each) for kind, each in rows.items()} for fold, rows in parts.items()},
            "calibration_cases_seen_by_prior": seen,
            "measured_cases_seen_by_prior": self.seen(parts[self.arguments.measure_on]),
            "recall": RECALL,
            "arms": {name: self.measure_arm(arm, parts) for name, arm in ARMS.items() if self.possible(arm)},
            "seconds_per_case": self.time_cases(),
        }
        results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        write_json(RESULTS, {**results, self.arguments.name: content})
        print(json.dumps(content["arms"][MAIN_ARM], indent=1), f"\n{RESULTS}")

    def seen(self, scored: dict[str, list[PlausibilityRow]]) -> int:
        """Return how many of the cases have labels that the prior was trained on."""
        cases = {row.case.rpartition(SEPARATOR)[0] for rows in scored.values() for row in rows}
        return len(cases & set(self.scorer.coder.prior.spec.training_cases))

    def scored(self, fold: int) -> dict[str, list[PlausibilityRow]]:
        """Return rows of a fold's validation cases by the kind of image, from WORK if there."""
        held_out, found = set(self.splits[fold]["val"]), {}
        for kind in KINDS:
            predictions = {
                case: files
                for case, files in self.predictions.items()
                if case.endswith(f"{SEPARATOR}{kind}") and case.rpartition(SEPARATOR)[0] in held_out
            }
            if not predictions:
                print(f"no predictions of {kind} images of fold {fold}'s validation cases", file=sys.stderr)
                continue
            cache = self.cache_file(predictions, f"fold{fold}_{kind}")
            if not cache.is_file():
                rows, _ = score_folder(self.scorer, predictions)
                cache.parent.mkdir(parents=True, exist_ok=True)
                write_json(cache, [asdict(row) for row in rows])
            found[kind] = [PlausibilityRow(**row) for row in json.loads(cache.read_text())]
        if not found:
            sys.exit(f"{self.arguments.predictions} holds no CASE{SEPARATOR}KIND of fold {fold}'s validation cases")
        return found

    def cache_file(self, predictions: dict[str, Prediction], what: str) -> Path:
        """Return where scores are kept: named by the predictions, the prior and the rules."""
        files = [each.label for each in predictions.values()]
        key = ["rows", *(f"{path.absolute()} {path.stat().st_mtime_ns}" for path in files)]
        key += [self.scorer.coder.prior.sha256, *self.names, *(rule.name for rule in self.scorer.rules)]
        digest = hashlib.sha256("\n".join(key).encode()).hexdigest()[:16]
        return self.arguments.work / f"{self.arguments.name}_{what}_{digest}.json"

    def possible(self, arm: Arm) -> bool:
        """Return whether an arm leaves scores that can be taken, and leaves out none that is not there anyway."""
        left = set(self.names) - set(arm.without)
        return bool(left) and (not arm.without or bool(set(arm.without) & set(self.names)))

    def measure_arm(self, arm: Arm, parts: dict[str, Any]) -> dict[str, Any]:
        """Return what a calibration of one part makes of the other, and of its halves by turns."""
        first, second = (parts[fold] for fold in (self.arguments.calibrate_on, self.arguments.measure_on))
        calibration = self.calibration(arm, first, lambda case: True)
        judged = self.judge(calibration, second)
        try:
            halves = self.figures(self.judge_by_halves(arm, second), calibration.bad_dice)
        except ValueError as error:  # too few cases to calibrate on half of them
            print(f"no halves: {error}", file=sys.stderr)
            halves = None
        own = calibration.measured
        return {
            "weights": dict(zip(calibration.scores, calibration.weights, strict=True)),
            "threshold": calibration.threshold,
            "bad_dice": calibration.bad_dice,
            "calibration": {key: own[key] for key in ("cases", "auroc_worst_tenth", "spearman_dice")},
            "measured": self.figures(judged, calibration.bad_dice),
            "measured_by_halves": halves,
        }

    def calibration(self, arm: Arm, scored: dict[str, Any], chosen: Any) -> Calibration:
        """Return the calibration of an arm on the cases that are chosen."""
        names = tuple(name for name in self.names if name not in arm.without)
        rows = [
            row
            for kind in scored
            if kind in arm.kinds
            for row in scored[kind]
            if row.status == SCORED and chosen(row.case)
        ]
        cases = CalibrationCases.of_rows(rows, names, {row.case: self.unit(row.case) for row in rows})
        return calibrate(cases, recall=RECALL, prior_sha256=self.scorer.coder.prior.sha256)[0]

    def judge(self, calibration: Calibration, scored: dict[str, Any], chosen: Any = None) -> list[PlausibilityRow]:
        """Return the rows of all kinds with their plausibility and flag; empty ones have none at all."""
        rows = [row for of_kind in scored.values() for row in of_kind if chosen is None or chosen(row.case)]
        judged = []
        for row in rows:
            if row.status in (SCORED, EMPTY) and row.dice is not None:
                value = calibration.plausibility(row.scores) if row.status == SCORED else 0.0
                judged.append(replace(row, plausibility=value, flagged=row.status == EMPTY or calibration.flags(value)))
        return judged

    def judge_by_halves(self, arm: Arm, scored: dict[str, Any]) -> list[PlausibilityRow]:
        """Return the rows, each judged by a calibration of the other half of the patients."""
        cases = {row.case for rows in scored.values() for row in rows}
        units = sorted({self.unit(case) for case in cases})
        order = np.random.default_rng(0).permutation(len(units))
        first = {units[index] for index in order[: len(units) // 2]}
        judged = []
        for half in (True, False):
            calibration = self.calibration(arm, scored, lambda case, half=half: (self.unit(case) in first) == half)
            judged += self.judge(calibration, scored, lambda case, half=half: (self.unit(case) in first) != half)
        return judged

    def unit(self, case: str) -> str:
        """Return the patient of a case of any kind, or the case itself."""
        case = case.rpartition(SEPARATOR)[0]
        return self.patient_of.get(case, case)

    def figures(self, rows: list[PlausibilityRow], bad_dice: float) -> dict[str, Any]:
        """Return all figures of judged rows, with intervals over patients."""
        values = {
            "plausibility": np.array([row.plausibility for row in rows], dtype=float),
            "dice": np.array([row.dice for row in rows], dtype=float),
            "hausdorff_mm": np.array([row.hausdorff_mm for row in rows], dtype=float),
        }
        units = np.unique([self.unit(row.case) for row in rows], return_inverse=True)[1]
        flagged = np.array([bool(row.flagged) for row in rows])
        return {
            "cases": len(rows),
            "patients": int(units.max() + 1),
            "excluded_or_empty": sum(row.status == EMPTY for row in rows),
            **judge_plausibilities(**values),
            **judge_flags(flagged, values["dice"] <= bad_dice),
            "intervals": intervals(values, units),
        }

    def time_cases(self) -> dict[str, Any]:
        """Return the median and the longest time to read and score one case, the model being loaded."""
        import torch

        torch.set_num_threads(self.arguments.threads)
        files = list(self.predictions.values())
        seconds = []
        for each in (files[0], *files[:NUM_TIMED]):  # the first one warms up
            start = time.perf_counter()
            self.scorer.score(self.scorer.read(each.label), image_files=each.images)
            seconds.append(time.perf_counter() - start)
        return {
            "threads": self.arguments.threads,
            "cases": len(seconds) - 1,
            "median": round(statistics.median(seconds[1:]), 3),
            "longest": round(max(seconds[1:]), 3),
        }


def intervals(values: dict[str, np.ndarray], units: np.ndarray) -> dict[str, list[float | None]]:
    """Return 95 % percentile intervals, patients drawn with replacement; None where no draw has a figure."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(units == unit) for unit in range(units.max() + 1)]
    draws: dict[str, list[float]] = {}
    for _ in range(RESAMPLES):
        drawn = np.concatenate([members[unit] for unit in rng.integers(len(members), size=len(members))])
        for name, value in judge_plausibilities(**{key: each[drawn] for key, each in values.items()}).items():
            draws.setdefault(name, []).extend([] if value is None else [value])
    return {
        name: [round(float(v), 3) for v in np.quantile(each, (0.025, 0.975))] if each else [None, None]
        for name, each in draws.items()
    }


def write_report() -> None:
    """Write docs/evidence/plausibility.md."""
    results = json.loads(RESULTS.read_text())
    parts = [INTRODUCTION, *(run_section(name, content) for name, content in results.items())]
    write_text(PAGE, "\n".join(parts).rstrip() + "\n")
    print(PAGE)


INTRODUCTION = """# Does plausibility find bad predictions?

Made from `benchmarks/latent/plausibility.json` by `python -m scripts.studies.plausibility report`. Predictions of a
segmentation network for clean and corrupted images (noise, an occluded slab, slice motion, dropped slices), calibrated
on some held-out cases and measured on others; [plausibility.md](../reference/plausibility.md) says what the scores
are. AUROC: Dice in the worst tenth of the measured predictions. Intervals: 95 %, bootstrap over patients. "Halves":
calibrated on half of the measured patients and measured on the other half, by turns; it has fewer cases to learn from,
and none that the prior saw. Arms with "no spoilt copies" learn from the predictions alone, as the command does. The
others were measured when it also learnt from a spoilt copy of each prediction, which made no difference and was
removed.
"""


def run_section(name: str, content: dict[str, Any]) -> str:
    """Return the Markdown of one run."""
    main_arm = content["arms"][MAIN_ARM]
    measured, seconds = main_arm["measured"], content["seconds_per_case"]
    seen, seen_measured = content["calibration_cases_seen_by_prior"], content["measured_cases_seen_by_prior"]
    lines = [
        f"## {name}",
        "",
        f"Calibrated on {main_arm['calibration']['cases']} predictions, measured on {measured['cases']} of "
        f"{measured['patients']} patients. The prior was trained on the labels of {seen} of the calibration cases and "
        f"{seen_measured} of the measured ones. One case takes {seconds['median']:.2f} s (longest "
        f"{seconds['longest']:.2f} s) on {seconds['threads']} cores, the model loaded.",
        "",
        "| calibration | AUROC | Spearman, Dice | Spearman, Hausdorff | flagged | of the bad found | "
        "halves: AUROC | halves: Spearman, Dice |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm, figures in content["arms"].items():
        row, halves = figures["measured"], figures["measured_by_halves"] or {}
        cells = [
            arm,
            *(with_interval(row, key) for key in ("auroc_worst_tenth", "spearman_dice", "spearman_hausdorff")),
        ]
        cells += [percent(row["flagged_share"]), percent(row["found_share_of_bad"])]
        cells += [number(halves.get("auroc_worst_tenth")), number(halves.get("spearman_dice"))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def with_interval(figures: dict[str, Any], key: str) -> str:
    """Return "0.93 (0.88 to 0.97)"."""
    low, high = figures["intervals"][key]
    return f"{number(figures[key])} ({number(low)} to {number(high)})"


def number(value: float | None) -> str:
    """Return two decimals, "–" where there is no number."""
    return "–" if value is None else f"{value:.2f}"


def percent(share: float | None) -> str:
    """Return a share in percent."""
    return "–" if share is None else f"{100 * share:.0f} %"
