"""`acnn-nnunet evaluate-sr`: reconstructed images against their references, in parallel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.casewise.processes import check_num_processes
from acnn_nnunet.casewise.run import run
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.evaluation.images import image_quality
from acnn_nnunet.evaluation.images.pairs import ImagePair, pair_images, read_pair
from acnn_nnunet.evaluation.statistics import describe
from acnn_nnunet.files.safe_writes import write_json, write_text
from acnn_nnunet.files.tables import columns_of, write_table
from acnn_nnunet.pages.page import format_number

TABLE_FILE = "images.csv"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"

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


def evaluate_super_resolution(
    reference: Path,
    prediction: Path,
    output: Path,
    *,
    masks: Path | None = None,
    data_range: float | None = None,
    num_processes: int = 1,
) -> Outcome:
    """Score a folder of images and write `images.csv`, `summary.json` and `report.html`.

    Files are paired by name. A case that cannot be scored is excluded, counted and told; it never costs the others.

    Args:
        reference: folder of 3-D images.
        prediction: folder of images on the same grids.
        output: folder to write; must not hold such files yet.
        masks: folder of images that are non-zero where the comparison takes place.
        data_range: of SSIM and PSNR; None takes each reference's maximum − minimum (inside the mask).
        num_processes: cases at a time.

    Raises:
        FileNotFoundError: if a folder does not exist or holds no image.
        FileExistsError: if `output` holds an evaluation, or predictions with nnU-Net's own summary.json.
        ValueError: for bad settings, two files of one case, no name in common, or if no case could be scored.
        OSError: if a file cannot be written.
    """
    from acnn_nnunet.evaluation.images.page import render_report

    output = Path(output)
    _check_settings(output, data_range=data_range, num_processes=num_processes)
    pairs, extra = pair_images(reference, prediction, masks)
    scores = _score_all(pairs, data_range=data_range, num_processes=num_processes)
    summary = {
        "reference": str(reference),
        "prediction": str(prediction),
        "masks": None if masks is None else str(masks),
        **summarise(scores, extra),
        "settings": _settings(data_range),
    }
    output.mkdir(parents=True, exist_ok=True)
    write_table(output / TABLE_FILE, columns_of(scores, COLUMNS))
    write_json(output / SUMMARY_FILE, summary)
    if not summary["num_scored"]:
        first = summary["excluded"][0]
        raise ValueError(
            f"None of the {len(scores)} cases could be scored: {first['case']}, {first['reason']}; "
            f"{output / TABLE_FILE} says why of the others."
        )
    write_text(output / REPORT_FILE, render_report(summary, scores, pairs))
    excluded = tuple(Excluded(each["case"], each["reason"]) for each in summary["excluded"])
    return Outcome(_text(summary, output), excluded)


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


def summarise(scores: Sequence[ImageScore], extra: Sequence[str] = ()) -> dict[str, Any]:
    """Return what `summary.json` says of scores; `extra` names predictions without a reference."""
    scored = [score for score in scores if score.status in (OK, IDENTICAL)]
    mean = {}
    for metric in METRICS:
        values = np.array([getattr(score, metric) for score in scored], dtype=float)  # None becomes NaN
        average, deviation, median = describe(values)
        mean[metric] = {"mean": average, "sd": deviation, "median": median, "n": int(np.isfinite(values).sum())}
    return {
        "num_cases": len(scores),
        "num_scored": len(scored),
        "num_identical": sum(score.status == IDENTICAL for score in scores),
        "num_missing": sum(score.status == MISSING for score in scores),
        "num_excluded": sum(score.status == EXCLUDED for score in scores),
        "num_negative": sum(score.negative for score in scores),
        "metrics": mean,
        "excluded": [
            {"case": score.case, "status": score.status, "reason": score.reason}
            for score in scores
            if score.status in (MISSING, EXCLUDED)
        ],
        "extra_predictions": list(extra),
    }


def _check_settings(output: Path, *, data_range: float | None, num_processes: int) -> None:
    check_num_processes(num_processes)
    if data_range is not None and not 0 < data_range < math.inf:
        raise ValueError(f"--data-range {data_range}: it is `reference` or a positive number.")
    for name in (TABLE_FILE, SUMMARY_FILE):
        if (output / name).exists():
            raise FileExistsError(f"{output} already holds {name}: remove it or choose another folder with -o.")


def _score_all(pairs: Sequence[ImagePair], *, data_range: float | None, num_processes: int) -> list[ImageScore]:
    predicted = {pair.case: pair for pair in pairs if pair.prediction is not None}
    work = partial(score_pair, data_range=data_range)
    results = run(work, predicted, num_processes=num_processes, unit="image")
    rows = {each.case: each.value or ImageScore(each.case, status=EXCLUDED, reason=str(each.error)) for each in results}
    missing = {pair.case: ImageScore(pair.case, status=MISSING, reason="there is no prediction") for pair in pairs}
    return [(missing | rows)[pair.case] for pair in pairs]


def _settings(data_range: float | None) -> dict[str, Any]:
    return {
        "ssim": "Wang et al. 2004: Gaussian window, population covariance, windows inside the image only",
        "window_taps": image_quality.WINDOW_TAPS,
        "window_sigma_voxels": image_quality.WINDOW_SIGMA,
        "k1": image_quality.K1,
        "k2": image_quality.K2,
        "data_range": "reference maximum - minimum, inside the mask if given" if data_range is None else data_range,
    }


def _text(summary: dict[str, Any], output: Path) -> str:
    lines = [f"{'':24}{'mean':>10}{'SD':>10}{'median':>10}{'images':>8}"]
    for metric, title in METRICS.items():
        row = summary["metrics"][metric]
        numbers = "".join(f"{format_number(row[name], 4):>10}" for name in ("mean", "sd", "median"))
        lines.append(f"{title:24}{numbers}{row['n']:>8}")
    lines.append(f"{summary['num_scored']} of {summary['num_cases']} images scored; results in {output}")
    lines += [f"Not scored: {each['case']}: {each['reason']}" for each in summary["excluded"]]
    if summary["extra_predictions"]:
        lines.append(f"Predictions without a reference: {', '.join(summary['extra_predictions'])}")
    if summary["num_negative"]:
        lines.append(f"{summary['num_negative']} references have negative intensities: {NEGATIVE_NOTE}")
    return "\n".join(lines)
