"""`acnn-nnunet latent-report`: what the numbers of a code mean, as pictures and numbers."""

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from acnn_nnunet import __version__
from acnn_nnunet.files.patients import read_groups
from acnn_nnunet.files.safe_writes import make_output_folder, refuse_file, replace_atomically, write_json, write_text
from acnn_nnunet.fold_prior.coder import Coder, load_coder
from acnn_nnunet.latent.codes.command import encode_folder
from acnn_nnunet.latent.codes.table import CodeTable, describe_case, read_codes
from acnn_nnunet.latent.report.measures import measure_shape
from acnn_nnunet.latent.report.pictures import draw_histograms, draw_path, draw_splits, draw_spread, enclosing_labels
from acnn_nnunet.latent.report.space import (
    STEPS_IN_SD,
    describe_space,
    dimension_directions,
    interpolate,
    principal_directions,
    splitting_dimensions,
    traverse,
)
from acnn_nnunet.pages.page import LABEL_COLOURS, render_page

JSON_FILE, PAGE_FILE = "latent_report.json", "report.html"
_NUM_DIMENSIONS, _NUM_DIRECTIONS, _INTERPOLATION_STEPS = 2, 3, 5
_NUM_EXAMPLES = 8  # of decoded codes, to tell which labels surround others


@dataclass(frozen=True)
class PathPlan:
    """A path through the space of codes.

    Attributes:
        name: for people; also names the picture.
        titles: of the steps.
        codes: (S, K).
        share: of the codes' variance along it, or None.
    """

    name: str
    titles: tuple[str, ...]
    codes: np.ndarray
    share: float | None = None

    @property
    def picture(self) -> str:
        """Name of the PNG file."""
        return f"{'_'.join(self.name.split())}.png"


def latent_report(
    source: Path,
    output: Path,
    *,
    prior_file: Path,
    groups_file: Path | None = None,
    dimensions: Sequence[int] | None = None,
    num_directions: int = _NUM_DIRECTIONS,
    between: tuple[str, str] | None = None,
    device: str = "cpu",
) -> str:
    """Write `report.html`, `latent_report.json` and a PNG of every picture.

    Args:
        source: folder of label maps, or a table that `acnn-nnunet codes` wrote with the same prior.
        output: folder to write.
        prior_file: of the prior.
        groups_file: a `groups.csv`; without it the groups of a table count.
        dimensions: to traverse; by default the two most varied, or with groups the two on which trees split most.
        num_directions: principal directions to traverse.
        between: two cases to interpolate between.
        device: cpu, cuda or mps.

    Returns:
        What was found, to be printed.

    Raises:
        ValueError: if there are fewer than two codes, the table is not of this prior's length, or there is no such
            dimension or case.
        FileNotFoundError: if there is no such source, prior or table of groups.
        OSError: if the output cannot be written.
    """
    refuse_file(output)
    if num_directions < 0:
        raise ValueError(f"--directions must be 0 or more, got {num_directions}.")
    coder = load_coder(prior_file, device=device)
    table = _codes_of(source, coder, groups_file)
    space = describe_space(table.codes)
    splits, why_not = _split(table)
    most_split = None if splits is None else splits["order"][:_NUM_DIMENSIONS]
    most_varied = np.argsort(-np.array(space["variances"]), kind="stable")[:_NUM_DIMENSIONS].tolist()
    paths = _plan_paths(
        table,
        dimensions=dimensions if dimensions is not None else most_split or most_varied,
        num_directions=num_directions,
        between=between,
    )
    pictures = {"histograms.png": draw_histograms(space), "spread.png": _draw_spread(space, table)}
    if splits is not None:
        pictures["splits.png"] = splits.pop("picture")
    seen_through = _seen_through(table, coder)
    walked = []
    for path in tqdm(paths, desc="latent-report", unit="path", disable=None):
        steps, pictures[path.picture] = _walk(path, coder, seen_through=seen_through)
        walked.append({"name": path.name, "picture": path.picture, "share": path.share, "steps": steps})
    report = {
        "acnn_nnunet": __version__,
        "source": str(source),
        "prior": {"path": str(coder.prior.path), "sha256": coder.prior.sha256, **coder.prior.spec.as_plain()},
        "cases": [row.case for row in table.cases],
        "excluded": dict(table.excluded),
        "code": space,
        "splits": splits,
        "no_splits": why_not,
        "paths": walked,
    }
    _write(output, report, pictures, colours=_colours(coder))
    return _summary(report, output)


def change_of(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return name, unit, first and last value, and their difference, of what the steps of a path measure.

    A difference is None where an end is undefined.
    """
    rows = []
    for index, measure in enumerate(steps[0]["measures"]):
        values = [step["measures"][index]["value"] for step in steps]
        first, last = values[0], values[-1]
        change = None if first is None or last is None else last - first
        rows.append({"name": measure["name"], "unit": measure["unit"], "values": values, "change": change})
    return rows


def _codes_of(source: Path, coder: Coder, groups_file: Path | None) -> CodeTable:
    groups = read_groups(groups_file) if groups_file else []
    if source.is_dir():
        table = encode_folder(coder, source, groups=groups)
    else:
        table = read_codes(source)
        if groups_file:
            cases = tuple(describe_case(row.case, groups) for row in table.cases)
            table = CodeTable(cases, table.codes, table.excluded)
    size = coder.prior.spec.code_size
    if table.codes.shape[1] != size:
        raise ValueError(
            f"{source} holds codes of {table.codes.shape[1]} numbers, those of the prior {coder.prior.path} have "
            f"{size}: name the prior that made them."
        )
    if len(table.cases) < 2:
        raise ValueError(f"{source} has {len(table.cases)} codes: a report needs at least two.")
    return table


def _split(table: CodeTable) -> tuple[dict[str, Any] | None, str]:
    """Return what trees split on, with a picture, or None and why not."""
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


def _plan_paths(
    table: CodeTable, *, dimensions: Sequence[int], num_directions: int, between: tuple[str, str] | None
) -> list[PathPlan]:
    mean = table.codes.mean(0)
    titles = tuple(f"{step:+g} SD" if step else "mean" for step in STEPS_IN_SD)
    directions = [
        *dimension_directions(table.codes, dimensions),
        *principal_directions(table.codes, num_directions),
    ]
    paths = [PathPlan(line.name, titles, traverse(mean, line), line.share) for line in directions]
    if between:
        position = {row.case: index for index, row in enumerate(table.cases)}
        for case in between:
            if case not in position:
                reason = f" ({table.excluded[case]})" if case in table.excluded else ""
                raise ValueError(f"--between: there is no code of {case}{reason}.")
        first, last = (table.codes[position[case]] for case in between)
        shares = np.linspace(0, 100, _INTERPOLATION_STEPS)
        words = (between[0], *(f"{share:.0f} %" for share in shares[1:-1]), between[1])
        codes = interpolate(first, last, steps=_INTERPOLATION_STEPS)
        paths.append(PathPlan("interpolation", words, codes))
    return paths


def _seen_through(table: CodeTable, coder: Coder) -> set[int]:
    """Return which labels surround another one in what some of the codes decode to; in 2D nothing is hidden."""
    if len(coder.grid.size) == 2:
        return set()
    chosen = np.linspace(0, len(table.codes) - 1, min(_NUM_EXAMPLES, len(table.codes))).round().astype(int)
    hard = coder.labels.hardened(coder.decode(torch.from_numpy(table.codes[chosen]).float()))
    return enclosing_labels(hard[:, list(coder.names)].numpy() > 0.5, coder.geometry.spacing_mm)


def _walk(path: PathPlan, coder: Coder, *, seen_through: Collection[int]) -> tuple[list[dict[str, Any]], str]:
    """Return what is measured at every step, and the picture."""
    channels = list(coder.names)
    probabilities = coder.decode(torch.from_numpy(path.codes).float())
    hard = coder.labels.hardened(probabilities)[:, channels].numpy() > 0.5
    masks = [dict(zip(coder.names.values(), shape, strict=True)) for shape in hard]
    steps = [
        {
            "title": title,
            "code": code.tolist(),
            "measures": [
                {"name": measure.name, "unit": measure.unit, "value": measure.value}
                for measure in measure_shape(named, coder.geometry)
            ],
        }
        for title, code, named in zip(path.titles, path.codes, masks, strict=True)
    ]
    margins = coder.labels.margins(probabilities)[:, channels].numpy()
    return steps, draw_path(margins, hard, path.titles, coder.geometry.spacing_mm, seen_through=seen_through)


def _draw_spread(space: Mapping[str, Any], table: CodeTable) -> str:
    coordinates = np.zeros((len(table.codes), 2))
    for index, line in enumerate(principal_directions(table.codes, 2)):
        coordinates[:, index] = (table.codes - table.codes.mean(0)) @ line.vector / (line.vector @ line.vector)
    return draw_spread(space, coordinates, table.cases)


def _colours(coder: Coder) -> dict[str, str]:
    return {name: LABEL_COLOURS[index % len(LABEL_COLOURS)] for index, name in enumerate(coder.names.values())}


def _write(output: Path, report: dict[str, Any], pictures: Mapping[str, str], *, colours: Mapping[str, str]) -> None:
    page = render_page(
        "latent_report.html",
        version=__version__,
        report=report,
        pictures=pictures,
        colours=colours,
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
        f"{code['active_dimensions']} dimensions active, effective rank {code['effective_rank']:.1f}, "
        f"mean absolute correlation {code['correlation']['mean_absolute'] or 0:.2f}",
        f"{code['normal_dimensions']} of {code['tested_dimensions']} dimensions look normal, "
        f"{code['multimodal_dimensions']} multimodal",
        f"report: {output / PAGE_FILE}",
    ]
    return "\n".join(lines)
