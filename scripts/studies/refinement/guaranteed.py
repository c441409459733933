"""Hearts that are refined and then repaired: what `--guarantee` changes, and how long it takes."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from acnn_nnunet.evaluation.anatomy.rules import check_rules
from acnn_nnunet.refinement.anatomy_refiner import LEFT
from acnn_nnunet.refinement.guarantee import Guarantee, guarded, load_guard
from acnn_nnunet.refinement.repair.volumes import Repairer
from acnn_nnunet.refinement.trials import score_labels
from scripts.studies.refinement.evaluation import Evaluation
from scripts.studies.refinement.tried import GUARANTEE_FILE

RULES = "acdc"


def add_guaranteed(evaluation: Evaluation, kinds: Sequence[str]) -> None:
    """Repair the refined predictions of the confirmation's images, and write the table of what came of them."""
    from scripts.studies.refinement.report import RESULTS

    repairer = load_guard(Guarantee(Path(RULES)), lambda: evaluation.refiner.coder)
    assert repairer is not None
    rows = [
        row
        for kind in kinds
        for case in evaluation.place.cases("confirmation")
        if (row := row_of_image(evaluation, repairer, case, kind))
    ]
    pd.DataFrame(rows).to_csv(RESULTS.folder / GUARANTEE_FILE, index=False, lineterminator="\n")


def row_of_image(evaluation: Evaluation, repairer: Repairer, case: str, kind: str) -> dict[str, object] | None:
    """Return what came of an image's prediction; None where it is not predicted."""
    prediction = evaluation.prediction(case, kind)
    if prediction is None:
        return None
    refined = evaluation.refiner.refine(prediction)
    start = time.process_time()
    kept = guarded(repairer, refined, prediction.spacing_mm, evaluation.refiner.coder)
    seconds = time.process_time() - start
    maps = {"predicted": prediction.values, "refined": refined.values, "guaranteed": kept.values}
    row: dict[str, object] = {"kind": kind, "case": case, "status": refined.status, "slices": len(prediction.values)}
    for name, values in maps.items():
        checks = check_rules(
            values, repairer.rules, label_values=repairer.label_values, spacing_mm=prediction.spacing_mm
        )
        row[f"broken_{name}"] = len({index for check in checks for index in check.slices})
    row["left"] = kept.status == LEFT
    for name, values in maps.items():
        scores = score_labels(evaluation.truth(case), values, prediction.spacing_mm, evaluation.refiner)
        for what, of_labels, digits in zip(("dice", "hausdorff"), scores, (5, 4), strict=True):
            row[f"{what}_{name}"] = round(float(np.nanmean(of_labels)), digits)
    return {**row, "seconds": round(seconds, 3)}
