"""AE-Seg, the paper's second stage, as an arm of the study: trained on the networks' cases, for as many steps."""

import math
import time
from collections.abc import Sequence
from typing import Any

import pandas as pd

from acnn_nnunet.refinement.second_stage import Refiner, SecondStageOptions, load_refiner
from acnn_nnunet.refinement.trials import score_labels
from scripts.studies.defaults.arms import FEW_FOLD
from scripts.studies.defaults.workplace import CONFIGURATION, Workplace
from scripts.studies.jobs import run_all
from scripts.studies.refinement.evaluation import SECOND_STAGE, Evaluation

TRAINER, NAME = "AESegTrainer", f"{CONFIGURATION}_ae_seg"


def train_second_stage(place: Workplace) -> None:
    """Train AE-Seg on the study's few cases, unless that was done."""
    environment = {**place.environment, "nnUNet_n_proc_DA": "0"}
    run_all([(_train, (place,))], environment=environment, ends=math.inf, processes=1)


def _train(place: Workplace) -> None:
    settings = {"num_epochs": place.study.num_epochs, "num_iterations_per_epoch": 50, "seed": 0}
    settings |= {"num_val_iterations_per_epoch": 2, "save_every": 5}
    with place.log(NAME):
        place.configure(place.study.dataset_id, CONFIGURATION, NAME, settings)
        place.train(NAME, FEW_FOLD, TRAINER)


def add_second_stage(evaluation: Evaluation, kinds: Sequence[str], *, until: float) -> None:
    """Score what AE-Seg makes of the confirmation's predictions, beside the other arms of each kind that is scored.

    Args:
        evaluation: of a network.
        kinds: of images.
        until: after this `time.time()` no kind begins.
    """
    from scripts.studies.refinement.report import RESULTS, SCORES

    options = SecondStageOptions(str(evaluation.place.study.dataset_id), NAME, trainer=TRAINER, fold=FEW_FOLD)
    refiner = load_refiner(options)
    key = (evaluation.place.name, evaluation.network, evaluation.seed)
    run = next(run for run in RESULTS.runs() if tuple(run[name] for name in RESULTS.keys) == key)
    for kind in kinds:
        table = RESULTS.table(SCORES)
        of_run = table[(table[list(RESULTS.keys)] == list(map(str, key))).all(axis=1)].drop(columns=list(RESULTS.keys))
        others = of_run[(of_run["kind"] != kind) | (of_run["arm"] != SECOND_STAGE)]
        images = others[others["kind"] == kind].drop_duplicates("case")
        if time.time() < until and len(images):
            added = [row for image in images.itertuples() for row in _rows(evaluation, refiner, image)]
            RESULTS.add(run, {SCORES: pd.concat([others, pd.DataFrame(added)])})
            print(f"{key}: {kind}, {len(images)} images", flush=True)


def _rows(evaluation: Evaluation, refiner: Refiner, image: Any) -> list[dict[str, str]]:
    """Return the scores of what AE-Seg makes of an image's prediction, by label."""
    prediction = evaluation.prediction(image.case, image.kind)
    assert prediction is not None
    values = refiner.refine(prediction.values, prediction.spacing_mm)
    scores = score_labels(evaluation.truth(image.case), values, prediction.spacing_mm, evaluation.refiner)
    named = {name: getattr(image, name) for name in ("kind", "case", "unit", "pathology")} | {"arm": SECOND_STAGE}
    return [
        {**named, "label": label, "dice": f"{dice:.5g}", "hausdorff_mm": f"{hausdorff_mm:.5g}"}
        for label, dice, hausdorff_mm in zip(evaluation.labels, *scores, strict=True)
    ]
