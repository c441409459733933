"""`acnn-nnunet evaluate-sr`: reconstructed images against their references, in parallel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.processes import check_num_processes
from acnn_nnunet.casewise.run import run
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.evaluation.images import image_quality
from acnn_nnunet.evaluation.images.pairs import ImagePair, pair_images
from acnn_nnunet.evaluation.images.scores import (
    COLUMNS,
    EXCLUDED,
    METRICS,
    MISSING,
    NEGATIVE_NOTE,
    ImageScore,
    score_pair,
    summarise,
)
from acnn_nnunet.files.safe_writes import write_json, write_text
from acnn_nnunet.files.tables import columns_of, write_table
from acnn_nnunet.pages.page import format_number

TABLE_FILE = "images.csv"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"


@dataclass(frozen=True)
class ImageOptions:
    """How a folder of images is scored.

    Attributes:
        masks: folder of images that are non-zero where the comparison takes place.
        data_range: of SSIM and PSNR; None takes each reference's maximum − minimum (inside the mask).
        num_processes: cases that are scored at a time.

    Raises:
        ValueError: if a number is out of range; names the option.
    """

    masks: Path | None = None
    data_range: float | None = None
    num_processes: int = 1

    def __post_init__(self) -> None:
        check_num_processes(self.num_processes)
        if self.data_range is not None and not 0 < self.data_range < math.inf:
            raise ValueError(f"--data-range {self.data_range}: it is `reference` or a positive number.")


def evaluate_super_resolution(
    reference: Path, prediction: Path, output: Path, options: ImageOptions | None = None
) -> Outcome:
    """Score a folder of images and write `images.csv`, `summary.json` and `report.html`.

    Files are paired by name. A case that cannot be scored is excluded, counted and named; it never costs the others.

    Args:
        reference: folder of 3-D images.
        prediction: folder of images on the same grids.
        output: folder to write; must not hold such files yet.
        options: how; None takes the defaults.

    Raises:
        FileNotFoundError: if a folder does not exist or holds no image.
        FileExistsError: if `output` holds an evaluation, or predictions with nnU-Net's own summary.json.
        ValueError: for two files of one case, no name in common, or if no case could be scored.
        OSError: if a file cannot be written.
    """
    from acnn_nnunet.evaluation.images.page import render_report

    options, output = options or ImageOptions(), Path(output)
    for name in (TABLE_FILE, SUMMARY_FILE):
        if (output / name).exists():
            raise FileExistsError(f"{output} already holds {name}: remove it or choose another folder with -o.")
    pairs, extra = pair_images(reference, prediction, options.masks)
    scores = _score_all(pairs, options)
    summary = {
        "reference": str(reference),
        "prediction": str(prediction),
        "masks": None if options.masks is None else str(options.masks),
        **summarise(scores, extra),
        "settings": _settings(options.data_range),
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


def _score_all(pairs: Sequence[ImagePair], options: ImageOptions) -> list[ImageScore]:
    predicted = {pair.case: pair for pair in pairs if pair.prediction is not None}
    work = partial(score_pair, data_range=options.data_range)
    results = run(work, predicted, num_processes=options.num_processes, unit="image")
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
