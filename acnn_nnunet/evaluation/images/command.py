"""`acnn-nnunet evaluate-sr`: reconstructed images against their references, in parallel."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.journal import Entries, cases_of_part
from acnn_nnunet.casewise.parts import joined_parts, part_done, refuse_changed
from acnn_nnunet.casewise.recorded import CaseWork, header_of, opened_journal, record_cases
from acnn_nnunet.casewise.status import MOST_NAMED, more_in_status, write_status
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
from acnn_nnunet.files.on_demand import OnDemand
from acnn_nnunet.files.safe_writes import write_json, write_text
from acnn_nnunet.files.tables import write_rows
from acnn_nnunet.pages.page import format_number

COMMAND = "evaluate-sr"
TABLE_FILE = "images.csv"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"


@dataclass(frozen=True)
class ImageOptions:
    """How a folder of images is scored.

    Attributes:
        masks: folder of images that are non-zero where the comparison takes place.
        data_range: of SSIM and PSNR; None takes each reference's maximum − minimum (inside the mask).
        execution: where the cases are scored.

    Raises:
        ValueError: if a number is out of range; names the option.
    """

    masks: Path | None = None
    data_range: float | None = None
    execution: Execution = HERE

    def __post_init__(self) -> None:
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
    options, output = options or ImageOptions(), Path(output)
    execution = options.execution
    for name in (TABLE_FILE, SUMMARY_FILE):
        if (output / name).exists() and not execution.go_on:
            raise FileExistsError(f"{output} already holds {name}: remove it or choose another folder with -o.")
    pairs, extra = pair_images(reference, prediction, options.masks)
    header = header_of(COMMAND, reference, options, pairs, prediction=Path(prediction).absolute())
    work = CaseWork(partial(_recorded_score, partial(score_pair, data_range=options.data_range)), _files)
    with opened_journal(output, header, execution, may_change=("cases",), paths=("source", "prediction")) as journal:
        part = cases_of_part(header["cases"], num_parts=execution.num_parts, part_id=execution.part_id)
        record_cases(work, OnDemand(part, pairs.__getitem__), journal, execution=execution, unit="image")
        entries = journal.entries_of(part)
        if execution.num_parts > 1:
            return part_done(output, execution, entries)
        return _write_results(header, entries, pairs, extra, output)


def merge_parts(output: Path) -> Outcome:
    """Write the results of images that were scored in parts.

    Raises:
        FileNotFoundError: if `output` holds no parts, or a folder of images is gone.
        ValueError: naming the parts that are missing, unfinished or of another run, or images that have changed.
    """
    header, entries = joined_parts(output, paths=("source", "prediction"))
    masks = header["options"]["masks"]
    pairs, extra = pair_images(
        Path(header["source"]), Path(header["prediction"]), None if masks is None else Path(masks)
    )
    refuse_changed(entries, lambda case: _files(pairs[case]) if case in pairs else (), Path(output))
    return _write_results(header, entries, pairs, extra, Path(output))


def _write_results(
    header: dict[str, Any], entries: Entries, pairs: Mapping[str, ImagePair], extra: Sequence[str], output: Path
) -> Outcome:
    from acnn_nnunet.evaluation.images.page import render_report

    scores = _Scores(entries)
    summary = {
        "reference": header["source"],
        "prediction": header["prediction"],
        "masks": header["options"]["masks"],
        **summarise(scores, extra),
        "settings": _settings(header["options"]["data_range"]),
    }
    kinds = {name: str if name in ("case", "status", "reason") else float for name in COLUMNS}
    write_rows(output / TABLE_FILE, kinds, ([getattr(score, name) for name in COLUMNS] for score in scores))
    write_json(output / SUMMARY_FILE, summary)
    write_status(output, entries)
    if not summary["num_scored"]:
        first = summary["excluded"][0]
        raise ValueError(
            f"None of the {len(entries)} cases could be scored: {first['case']}, {first['reason']}; "
            f"{output / TABLE_FILE} says why of the others."
        )
    write_text(output / REPORT_FILE, render_report(summary, scores, pairs))
    excluded = tuple(Excluded(each["case"], each["reason"]) for each in summary["excluded"])
    return Outcome(_text(summary, output), excluded)


def _recorded_score(score: Callable[[ImagePair], ImageScore], pair: ImagePair) -> dict[str, Any]:
    if pair.prediction is None:
        return {"score": asdict(ImageScore(pair.case, status=MISSING, reason="there is no prediction"))}
    return {"score": asdict(score(pair))}


class _Scores:
    """The score of each entry, made anew each time they are iterated over: never all in memory."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def __iter__(self) -> Iterator[ImageScore]:
        return map(_score_of, self._entries)


def _score_of(entry: dict[str, Any]) -> ImageScore:
    if entry["error"] is not None:
        return ImageScore(entry["case"], status=EXCLUDED, reason=entry["error"])
    return ImageScore(**entry["score"])


def _files(pair: ImagePair) -> list[Path]:
    return [path for path in (pair.reference, pair.prediction, pair.mask) if path is not None]


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
    excluded = summary["excluded"]
    lines += [f"Not scored: {each['case']}: {each['reason']}" for each in excluded[:MOST_NAMED]]
    lines += more_in_status(len(excluded))
    if summary["extra_predictions"]:
        lines.append(f"Predictions without a reference: {', '.join(summary['extra_predictions'])}")
    if summary["num_negative"]:
        lines.append(f"{summary['num_negative']} references have negative intensities: {NEGATIVE_NOTE}")
    return "\n".join(lines)
