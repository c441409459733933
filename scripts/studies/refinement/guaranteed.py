"""Hearts that are refined and then repaired: what `--guarantee` changes, and how long it takes."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from acnn_nnunet.evaluation.anatomy.rules import check_rules
from acnn_nnunet.files.safe_writes import replace_atomically
from acnn_nnunet.refinement.anatomy_refiner import LEFT
from acnn_nnunet.refinement.guarantee import Guarantee, guarded, load_guard
from acnn_nnunet.refinement.repair.volumes import Repairer
from acnn_nnunet.refinement.trials import score_labels
from scripts.studies.refinement.evaluation import Evaluation
from scripts.studies.refinement.tried import GUARANTEE_FILE

RULES = "acdc"


def add_guaranteed(evaluation: Evaluation, kinds: Sequence[str], *, until: float) -> None:
    """Repair the refined predictions of the confirmation's images, and add what came of them to the table.

    Args:
        evaluation: of a network.
        kinds: of images; each of them replaces its rows of this network and seed.
        until: after this `time.time()` no kind begins.
    """
    from scripts.studies.refinement.report import RESULTS

    path = RESULTS.folder / GUARANTEE_FILE
    repairer = load_guard(Guarantee(Path(RULES)), lambda: evaluation.refiner.coder)
    assert repairer is not None
    for kind in kinds:
        if time.time() > until:
            return
        cases = evaluation.place.cases("confirmation")
        run = {"network": evaluation.network, "seed": evaluation.seed, "kind": kind}
        rows = [{**run, **row} for case in cases if (row := row_of_image(evaluation, repairer, case, kind))]
        if rows:
            known = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=list(run))
            others = known[~(known[list(run)] == pd.Series(run)).all(axis=1)]
            table = pd.concat([others, pd.DataFrame(rows)]) if len(others) else pd.DataFrame(rows)
            replace_atomically(path, lambda part, table=table: table.to_csv(part, index=False, lineterminator="\n"))
            print(f"{run}: {len(rows)} hearts", flush=True)


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
    row: dict[str, object] = {"case": case, "status": refined.status, "slices": len(prediction.values)}
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
