"""`acnn-nnunet latent-report`: what the numbers of a code mean, as pictures and numbers."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from acnn_nnunet import __version__
from acnn_nnunet.files.patients import read_groups
from acnn_nnunet.files.safe_writes import make_output_folder, refuse_file, replace_atomically, write_json, write_text
from acnn_nnunet.fold_prior.coder import Coder, load_coder
from acnn_nnunet.latent.codes.command import about_cut_off, encode_folder
from acnn_nnunet.latent.codes.table import CodeTable, KnownCases, prior_mark, read_codes
from acnn_nnunet.latent.report.paths import change_of, labels_seen_through, plan_paths, walk
from acnn_nnunet.latent.report.pictures import draw_histograms, draw_splits, draw_spread
from acnn_nnunet.latent.report.space import describe_space, principal_directions, splitting_dimensions
from acnn_nnunet.pages.page import LABEL_COLOURS, render_page

JSON_FILE, PAGE_FILE = "latent_report.json", "report.html"
_NUM_DIMENSIONS, _NUM_DIRECTIONS = 2, 3


@dataclass(frozen=True)
class LatentReportOptions:
    """What is shown of a latent space.

    Attributes:
        prior_file: of the prior.
        groups_file: a `groups.csv`; without it the groups of a table count.
        dimensions: to traverse; None takes the two most varied, or with groups the two on which trees split most.
        num_directions: principal directions to traverse.
        between: two cases to interpolate between.
        device: cpu, cuda or mps.
    """

    prior_file: Path
    groups_file: Path | None = None
    dimensions: Sequence[int] | None = None
    num_directions: int = _NUM_DIRECTIONS
    between: tuple[str, str] | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Raise ValueError for a negative number of directions."""
        if self.num_directions < 0:
            raise ValueError(f"--directions must be 0 or more, got {self.num_directions}.")


def latent_report(source: Path, output: Path, options: LatentReportOptions) -> str:
    """Write `report.html`, `latent_report.json` and a PNG of every picture; return what to print.

    Args:
        source: folder of label maps, or a table that `acnn-nnunet codes` wrote with the same prior.
        output: folder to write.
        options: what is shown.

    Raises:
        ValueError: if there are fewer than two codes, another prior made the table, or there is no such dimension or
            case.
        FileNotFoundError: if there is no such source, prior or table of groups.
        OSError: if the output cannot be written.
    """
    refuse_file(output)
    coder = load_coder(options.prior_file, device=options.device)
    table = _codes_of(source, coder, options.groups_file)
    space = describe_space(table.codes)
    splits, why_not = _split(table)
    pictures = {"histograms.png": draw_histograms(space), "spread.png": _draw_spread(space, table)}
    if splits is not None:
        pictures["splits.png"] = splits.pop("picture")
    dimensions = options.dimensions
    if dimensions is None:
        most_varied = np.argsort(-np.array(space["variances"]), kind="stable").tolist()
        dimensions = (splits["order"] if splits else most_varied)[:_NUM_DIMENSIONS]
    paths = plan_paths(table, dimensions=dimensions, num_directions=options.num_directions, between=options.between)
    seen_through = labels_seen_through(table, coder)
    walked = []
    for path in tqdm(paths, desc="latent-report", unit="path", disable=None):
        steps, pictures[path.picture] = walk(path, coder, seen_through=seen_through)
        walked.append({"name": path.name, "picture": path.picture, "share": path.share, "steps": steps})
    report = {
        "acnn_nnunet": __version__,
        "source": str(source),
        "prior": {"path": str(coder.prior.path), "sha256": coder.prior.sha256, **coder.prior.spec.as_plain()},
        "cases": [row.case for row in table.cases],
        "excluded": dict(table.excluded),
        "cut_off": list(table.cut_off),
        "prior_known": bool(table.prior),
        "code": space,
        "splits": splits,
        "no_splits": why_not,
        "paths": walked,
    }
    _write(output, report, pictures, names=list(coder.names.values()))
    return _summary(report, output)


def _codes_of(source: Path, coder: Coder, groups_file: Path | None) -> CodeTable:
    groups = read_groups(groups_file) if groups_file else []
    if source.is_dir():
        table = encode_folder(coder, source, groups=groups)
    else:
        table = read_codes(source)
        if groups_file:
            known = KnownCases(groups)
            cases = tuple(known.describe(row.case) for row in table.cases)
            table = replace(table, cases=cases)
    size = coder.prior.spec.code_size
    if table.codes.shape[1] != size:
        raise ValueError(
            f"{source} holds codes of {table.codes.shape[1]} numbers, those of the prior {coder.prior.path} have "
            f"{size}: name the prior that made them."
        )
    if table.prior and table.prior != prior_mark(coder.prior.sha256):
        raise ValueError(
            f"{source} holds codes of another prior (sha256 {table.prior}…) than {coder.prior.path} "
            f"({prior_mark(coder.prior.sha256)}…): name the prior that made them, or write them again with "
            "acnn-nnunet codes."
        )
    if len(table.cases) < 2:
        raise ValueError(f"{source} has {len(table.cases)} codes: a report needs at least two.")
    return table


def _split(table: CodeTable) -> tuple[dict[str, Any] | None, str]:
    """Return the dimensions that trees split on, with a picture, or None and why not."""
    try:
        splits = splitting_dimensions(table.codes, [row.group for row in table.cases])
    except ValueError as error:
        return None, str(error)
    return {
        "groups": splits.groups,
        "order": splits.order,
        "shares": splits.shares.tolist(),
        "importances": splits.importances.tolist(),
        "picture": draw_splits(splits),
    }, ""


def _draw_spread(space: Mapping[str, Any], table: CodeTable) -> str:
    coordinates = np.zeros((len(table.codes), 2))
    for index, line in enumerate(principal_directions(table.codes, 2)):
        coordinates[:, index] = (table.codes - table.codes.mean(0)) @ line.vector / (line.vector @ line.vector)
    return draw_spread(space, coordinates, table.cases)


def _write(output: Path, report: dict[str, Any], pictures: Mapping[str, str], *, names: Sequence[str]) -> None:
    page = render_page(
        "latent_report.html",
        report=report,
        pictures=pictures,
        colours={name: LABEL_COLOURS[index % len(LABEL_COLOURS)] for index, name in enumerate(names)},
        changes={path["name"]: change_of(path["steps"]) for path in report["paths"]},
    )
    make_output_folder(output)
    for name, uri in pictures.items():
        _write_picture(output / name, base64.b64decode(uri.partition(",")[2]))
    write_json(output / JSON_FILE, report)
    write_text(output / PAGE_FILE, page)


def _write_picture(path: Path, content: bytes) -> None:
    def write(partial: str) -> None:
        Path(partial).write_bytes(content)

    replace_atomically(path, write)


def _summary(report: Mapping[str, Any], output: Path) -> str:
    code = report["code"]
    lines = [
        f"{code['num_codes']} codes of {code['size']} numbers, {len(report['excluded'])} cases excluded",
        *(f"  {case}: {reason}" for case, reason in report["excluded"].items()),
        *about_cut_off(report["cut_off"]),
        f"{code['active_dimensions']} dimensions active, effective rank {code['effective_rank']:.1f}, "
        f"mean absolute correlation {code['correlation']['mean_absolute'] or 0:.2f}",
        f"{code['normal_dimensions']} of {code['tested_dimensions']} dimensions look normal, "
        f"{code['multimodal_dimensions']} multimodal",
        f"report: {output / PAGE_FILE}",
    ]
    if not report["prior_known"]:
        prior = report["prior"]["path"]
        lines.insert(0, f"{report['source']} does not say which prior made its codes: taken to be {prior}.")
    return "\n".join(lines)
