"""Scores of reconstructed images, one record per case, and their means."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from acnn_nnunet.evaluation.images import image_quality
from acnn_nnunet.evaluation.images.pairs import ImagePair, read_pair
from acnn_nnunet.evaluation.statistics import describe

OK, IDENTICAL, MISSING, EXCLUDED = "ok", "identical", "missing", "excluded"
METRICS = {
    "ssim_3d": "SSIM, 3-D windows",
    "ssim_slices": "SSIM, mean over slices",
    "psnr_db": "PSNR, dB",
    "mae": "mean absolute error",
}
NEGATIVE_NOTE = "SSIM supposes intensities from 0 on, so compare methods with it, not with published values."


@dataclass(frozen=True)
class ImageScore:
    """One row of `images.csv`; None where a number does not apply (an empty cell).

    Attributes:
        case: file name without ending and without `_0000`.
        ssim_3d: mean SSIM under 3-D windows; not with fewer than 11 voxels along an axis.
        ssim_slices: mean over the slices of their mean SSIM under 2-D windows.
        psnr_db: not where the images are identical, since it is infinite.
        mae: mean absolute error, in the image's unit.
        data_range: that SSIM and PSNR were computed with.
        status: ok, identical (no voxel differs), missing (no prediction) or excluded.
        reason: why a case is missing or excluded.
        negative: whether the reference has intensities below 0, for which SSIM is not made.
    """

    case: str
    ssim_3d: float | None = None
    ssim_slices: float | None = None
    psnr_db: float | None = None
    mae: float | None = None
    data_range: float | None = None
    status: str = OK
    reason: str = ""
    negative: bool = False


COLUMNS = tuple(field.name for field in fields(ImageScore))[:-1]


def score_pair(pair: ImagePair, *, data_range: float | None = None) -> ImageScore:
    """Score one case.

    Raises:
        ValueError: in one sentence, if it cannot be scored.
    """
    volumes = read_pair(pair)
    reference, prediction, mask = volumes.reference, volumes.prediction, volumes.mask
    if data_range is None:
        data_range = image_quality.intensity_range(reference, mask)
    if data_range == 0:
        raise ValueError(f"{pair.reference} is constant, so it has no data range: give one with --data-range")
    slices = image_quality.slice_ssims(reference, prediction, axis=volumes.slice_axis, data_range=data_range, mask=mask)
    valid = [value for value in slices if value is not None]
    mae = image_quality.mean_absolute_error(reference, prediction, mask=mask)
    return ImageScore(
        pair.case,
        ssim_3d=image_quality.ssim(reference, prediction, data_range=data_range, mask=mask),
        ssim_slices=float(np.mean(valid)) if valid else None,
        psnr_db=image_quality.psnr_db(reference, prediction, data_range=data_range, mask=mask),
        mae=mae,
        data_range=data_range,
        status=IDENTICAL if mae == 0 else OK,
        negative=bool(reference.min() < 0),
    )


def summarise(scores: Iterable[ImageScore], extra: Sequence[str] = ()) -> dict[str, Any]:
    """Return what `summary.json` says of scores, iterated over once; `extra` names predictions without a reference."""
    columns = {metric: array("d") for metric in METRICS}
    statuses, num_negative, excluded = Counter[str](), 0, []
    for score in scores:
        statuses[score.status] += 1
        num_negative += score.negative
        if score.status in (MISSING, EXCLUDED):
            excluded.append({"case": score.case, "status": score.status, "reason": score.reason})
            continue
        for metric, column in columns.items():
            value = getattr(score, metric)
            column.append(math.nan if value is None else value)
    mean = {}
    for metric, column in columns.items():
        values = np.array(column)
        average, deviation, median = describe(values)
        mean[metric] = {"mean": average, "sd": deviation, "median": median, "n": int(np.isfinite(values).sum())}
    return {
        "num_cases": statuses.total(),
        "num_scored": statuses[OK] + statuses[IDENTICAL],
        "num_identical": statuses[IDENTICAL],
        "num_missing": statuses[MISSING],
        "num_excluded": statuses[EXCLUDED],
        "num_negative": num_negative,
        "metrics": mean,
        "excluded": excluded,
        "extra_predictions": list(extra),
    }
