"""The worst cases of an evaluation: a picture and a viewer case of each, drawn by the workers that scored them."""

import dataclasses
import heapq
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.run import run
from acnn_nnunet.evaluation.case_images import find_image, read_image
from acnn_nnunet.evaluation.masks.scores import LabelScores
from acnn_nnunet.evaluation.plan import EvaluationPlan
from acnn_nnunet.nnunet.label_files import LabelFileReader
from acnn_nnunet.pages.overlays import draw_overlay
from acnn_nnunet.pages.viewer import against_reference, pack_case

_NUM_WORST = 6


@dataclass(frozen=True)
class LookedAt:
    """What a page shows of a case.

    Attributes:
        picture: for the template `picture.html`.
        packed: for the viewer; None where a file is unreadable by now.
    """

    picture: dict[str, str]
    packed: dict[str, Any] | None = None

    @classmethod
    def without_picture(cls, case: str, dice: float, reason: str) -> "LookedAt":
        """Return a caption that says why there is no picture."""
        caption = f"{_caption(case, dice)}, no picture: {reason}"
        return cls({"case": case, "source": "", "caption": caption, "viewer": ""})


def look_at_worst(
    plan: EvaluationPlan, scores: Iterable[LabelScores], *, images: Path | None, execution: Execution = HERE
) -> list[LookedAt]:
    """Draw the worst cases, worst first.

    Args:
        plan: what was evaluated.
        scores: rows of `cases.csv`.
        images: folder of the images to show under the outlines, if any.
        execution: of the evaluation; processes of this machine are used, a cluster is not.
    """
    light = dataclasses.replace(plan, cases=(), extra=())
    items = {case: (case, dice) for case, dice in worst_cases(scores)}
    here = Execution(execution.num_processes if execution.uses_processes else 1)
    results = run(partial(_look_at, light, images), items, execution=here, unit="picture")
    return [
        result.value or LookedAt.without_picture(*items[result.case], reason=str(result.error)) for result in results
    ]


def worst_cases(scores: Iterable[LabelScores], count: int = _NUM_WORST) -> list[tuple[str, float]]:
    """Return the cases of lowest mean Dice over the labels that apply, worst first, each with that mean."""
    dice: dict[str, array[float]] = {}
    for score in scores:
        if score.dice is not None:
            dice.setdefault(score.case, array("d")).append(score.dice)
    means = ((case, float(np.mean(values))) for case, values in dice.items())
    return heapq.nsmallest(count, means, key=lambda item: (item[1], item[0]))


def _look_at(plan: EvaluationPlan, images: Path | None, item: tuple[str, float]) -> LookedAt:
    case, dice = item
    reader = LabelFileReader(plan.reader_name)
    path = plan.prediction_file(case)
    try:
        reference = reader.read(plan.reference_file(case))
        prediction = reader.read(path).values if path.is_file() else np.zeros_like(reference.values)
    except (ValueError, OSError) as error:  # parts may be merged where the files are not
        return LookedAt.without_picture(case, dice, str(error))
    image_file = find_image(images, case, plan.file_ending)
    image, about_image = read_image(image_file, plan.reader_name, reference.values.shape)
    spacing_mm = reference.geometry.spacing_mm
    label_names = {int(key): name for key, name in plan.labels.names.items() if key.isdigit()}
    source = draw_overlay(reference.values, {case: prediction}, spacing_mm, image=image, label_names=label_names)
    note = ("" if path.is_file() else ", no prediction") + about_image
    packed = pack_case(
        against_reference(case, reference.values, {"": prediction}, spacing_mm, image=image, label_names=label_names)
    )
    return LookedAt({"case": case, "source": source, "caption": _caption(case, dice) + note, "viewer": case}, packed)


def _caption(case: str, dice: float) -> str:
    return f"{case}: mean Dice {dice:.3f}"
