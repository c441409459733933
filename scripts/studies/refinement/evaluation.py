"""Scores of every arm on soft predictions in memory, through the functions that `acnn-nnunet refine` uses."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from acnn_nnunet.evaluation.masks.scores import largest_component
from acnn_nnunet.files.patients import GROUPS_FILE, read_groups
from acnn_nnunet.fold_prior.coder import load_coder
from acnn_nnunet.refinement.anatomy_refiner import COMPLETE, METHODS, AnatomyRefiner
from acnn_nnunet.refinement.calibration import Calibration, calibrate
from acnn_nnunet.refinement.completion import load_completion
from acnn_nnunet.refinement.predictions import Prediction
from acnn_nnunet.refinement.recipe import Recipe
from acnn_nnunet.refinement.trials import make_trials, score_labels
from scripts.studies.defaults.workplace import Workplace
from scripts.studies.refinement.predictions import file_of, load
from scripts.studies.results import StudyResults, versions

NONE, LARGEST, CALIBRATED, SECOND_STAGE = "none", "largest", "calibrated", "second-stage"


class Evaluation:
    """Scores the predictions of one network.

    Args:
        place: the study's workplace of the dataset.
        store: folder of predictions.
        prior: file of the shape prior.
        network: name of its arm.
        seed: of its training.
    """

    def __init__(self, place: Workplace, store: Path, prior: Path, network: str, seed: int):
        self.place, self.store, self.network, self.seed = place, store, network, seed
        coder = load_coder(prior)
        self.refiner = AnatomyRefiner(coder, Recipe.careful(COMPLETE), load_completion(coder))
        self.labels = list(coder.names.values())
        self.seconds: list[float] = []

    @cached_property
    def calibration(self) -> Calibration | None:
        """The calibration on the selection's clean predictions, such as a fold's validation leaves; None without."""
        cases = [case for case in self.place.cases("selection") if self.is_predicted(case, "clean")]
        trials = []
        for case in cases:
            prediction = self.prediction(case, "clean")
            assert prediction is not None
            trials += make_trials(self.refiner, prediction, self.truth(case), case=case, unit=self.place.unit(case))
        if not cases:
            return None
        return calibrate(trials, labels=self.labels, methods=METHODS, prior_sha256=self.refiner.coder.prior.sha256)

    def rows(self, case: str, kind: str, calibration: Calibration | None) -> Iterator[dict[str, str]]:
        """Yield the scores of each arm and label of an image; none where it is not predicted."""
        prediction = self.prediction(case, kind)
        if prediction is None:
            return
        truth = self.truth(case)
        for arm, values in self.arms(prediction, calibration):
            dice, hausdorff_mm = score_labels(truth, values, prediction.spacing_mm, self.refiner)
            for label, *scores in zip(self.labels, dice, hausdorff_mm, strict=True):
                named = dict(zip(("dice", "hausdorff_mm"), (f"{score:.5g}" for score in scores), strict=True))
                yield {"kind": kind, "case": case, "arm": arm, "label": label, **named}

    def arms(self, prediction: Prediction, calibration: Calibration | None) -> Iterator[tuple[str, np.ndarray]]:
        """Yield what each arm makes of a prediction."""
        yield NONE, prediction.values
        cleaned = np.zeros_like(prediction.values)
        for label in np.unique(prediction.values[prediction.values > 0]):
            cleaned[largest_component(prediction.values == label)] = label
        yield LARGEST, cleaned
        start = time.process_time()
        refined = self.refiner.refine(prediction).values
        self.seconds.append(time.process_time() - start)
        yield COMPLETE, refined
        recipes = {method: Recipe.careful(method) for method in METHODS if method != COMPLETE}
        if calibration is not None:
            recipes[CALIBRATED] = calibration.recipe
        for arm, recipe in recipes.items():
            yield arm, replace(self.refiner, recipe=recipe).refine(prediction).values

    def prediction(self, case: str, kind: str) -> Prediction | None:
        """Return the prediction of an image, None where there is none yet."""
        if not self.is_predicted(case, kind):
            return None
        probabilities = load(self._file(case, kind))
        return Prediction(probabilities.argmax(0).astype(np.uint8), self._read(case)[1], probabilities)

    def is_predicted(self, case: str, kind: str) -> bool:
        """Whether there is a prediction of an image."""
        return self._file(case, kind).is_file()

    def _file(self, case: str, kind: str) -> Path:
        return file_of(self.store, self.place.name, self.network, self.seed, case, kind)

    def truth(self, case: str) -> np.ndarray:
        """Return the label map of a case."""
        return self._read(case)[0]

    def _read(self, case: str) -> tuple[np.ndarray, tuple[float, ...]]:
        label_map = self.refiner.coder.reader.read(self.place.raw / "labelsTr" / f"{case}.nii.gz")
        return label_map.volume, tuple(float(mm) for mm in label_map.volume_spacing_mm)


def scores_of(
    evaluation: Evaluation, part: str, kinds: tuple[str, ...], calibration: Calibration | None
) -> pd.DataFrame:
    """Return a row per image, arm and label, as text."""
    rows = [
        row
        for kind in kinds
        for case in evaluation.place.cases(part)
        for row in evaluation.rows(case, kind, calibration)
    ]
    return pd.DataFrame(rows)


def add_run(evaluation: Evaluation, kinds: Sequence[str], *, until: float) -> None:
    """Score the confirmation's images, and add them to the study's results, kind by kind.

    Args:
        evaluation: of a network.
        kinds: of images; those whose predictions are all scored are left out.
        until: after this `time.time()` no kind begins.
    """
    from scripts.studies.refinement.report import RESULTS, SCORES

    for kind in kinds:
        if time.time() < until and not is_scored(evaluation, kind, RESULTS.table(SCORES)):
            calibration = evaluation.calibration
            scores = scores_of(evaluation, "confirmation", (kind,), calibration)
            keep_run(evaluation, scores, calibration, RESULTS, SCORES)
            print(f"{evaluation.place.name}, {evaluation.network}, seed {evaluation.seed}: {kind}", flush=True)


def is_scored(evaluation: Evaluation, kind: str, table: pd.DataFrame) -> bool:
    """Whether a table of the study has every image of a kind that is predicted."""
    run = {"dataset": evaluation.place.name, "network": evaluation.network, "seed": str(evaluation.seed), "kind": kind}
    found = table[(table[list(run)] == pd.Series(run)).all(axis=1)] if len(table) else table
    cases = {case for case in evaluation.place.cases("confirmation") if evaluation.is_predicted(case, kind)}
    return cases <= set(found["case"] if len(found) else ())


def keep_run(
    evaluation: Evaluation, scores: pd.DataFrame, calibration: Calibration | None, results: StudyResults, name: str
) -> None:
    """Add scores to the study's results, with patient and pathology of each case; what it has of other kinds stays."""
    place = evaluation.place
    groups = place.raw / GROUPS_FILE
    pathology = {row.case: row.group for row in read_groups(groups)} if groups.is_file() else {}
    scores.insert(2, "unit", scores["case"].map(place.unit))
    scores.insert(3, "pathology", scores["case"].map(lambda case: pathology.get(case, "")))
    run = {"dataset": place.name, "network": evaluation.network, "seed": evaluation.seed}
    known = results.table(name).drop(columns="iou", errors="ignore")
    of_run = (known[list(run)] == pd.Series({key: str(value) for key, value in run.items()})).all(axis=1)
    others = known[of_run & ~known["kind"].isin(scores["kind"])] if "kind" in known else known[of_run]
    scores = pd.concat([others.drop(columns=list(run)), scores]) if len(others) else scores
    told = None if calibration is None else calibration.summary
    seconds = round(float(np.median(evaluation.seconds)), 3)
    results.add({**run, "seconds_per_case": seconds, "calibration": told, "versions": versions()}, {name: scores})
