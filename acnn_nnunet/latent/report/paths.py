"""Paths through the space of codes, and the shapes on the way: measured and drawn."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from acnn_nnunet.fold_prior.coder import Coder
from acnn_nnunet.latent.codes.table import CodeTable
from acnn_nnunet.latent.report.measures import measure_shape
from acnn_nnunet.latent.report.pictures import draw_path, enclosing_labels
from acnn_nnunet.latent.report.space import STEPS_IN_SD, dimension_directions, principal_directions, traverse

_INTERPOLATION_STEPS = 5
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


def plan_paths(
    table: CodeTable, *, dimensions: Sequence[int], num_directions: int, between: tuple[str, str] | None
) -> list[PathPlan]:
    """Return the paths along dimensions and principal directions, and from one case to another.

    Raises:
        ValueError: if there is no such dimension or case.
    """
    mean = table.codes.mean(0)
    titles = tuple(f"{step:+g} SD" if step else "mean" for step in STEPS_IN_SD)
    lines = [*dimension_directions(table.codes, dimensions), *principal_directions(table.codes, num_directions)]
    paths = [PathPlan(line.name, titles, traverse(mean, line), line.share) for line in lines]
    return [*paths, _interpolation(table, *between)] if between else paths


def walk(path: PathPlan, coder: Coder, *, seen_through: Collection[int]) -> tuple[list[dict[str, Any]], str]:
    """Return the measures of every step, and the picture."""
    channels = list(coder.names)
    probabilities = coder.decode(torch.from_numpy(path.codes).float())
    hard = coder.labels.hardened(probabilities)[:, channels].numpy() > 0.5
    steps = []
    for title, code, shape in zip(path.titles, path.codes, hard, strict=True):
        measures = measure_shape(dict(zip(coder.names.values(), shape, strict=True)), coder.geometry)
        steps.append({"title": title, "code": code.tolist(), "measures": [vars(measure) for measure in measures]})
    margins = coder.labels.margins(probabilities)[:, channels].numpy()
    return steps, draw_path(margins, hard, path.titles, coder.geometry.spacing_mm, seen_through=seen_through)


def labels_seen_through(table: CodeTable, coder: Coder) -> set[int]:
    """Return which labels surround another one in some of the decoded codes; in 2D nothing is hidden."""
    if len(coder.grid.size) == 2:
        return set()
    chosen = np.linspace(0, len(table.codes) - 1, min(_NUM_EXAMPLES, len(table.codes))).round().astype(int)
    hard = coder.labels.hardened(coder.decode(torch.from_numpy(table.codes[chosen]).float()))
    return enclosing_labels(hard[:, list(coder.names)].numpy() > 0.5, coder.geometry.spacing_mm)


def change_of(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return name, unit, values and change (last − first) of each measure of a path's steps.

    A change is None where an end is undefined.
    """
    rows = []
    for index, measure in enumerate(steps[0]["measures"]):
        values = [step["measures"][index]["value"] for step in steps]
        first, last = values[0], values[-1]
        change = None if first is None or last is None else last - first
        rows.append({"name": measure["name"], "unit": measure["unit"], "values": values, "change": change})
    return rows


def _interpolation(table: CodeTable, first: str, last: str) -> PathPlan:
    position = {row.case: index for index, row in enumerate(table.cases)}
    for case in (first, last):
        if case not in position:
            reason = f" ({table.excluded[case]})" if case in table.excluded else ""
            raise ValueError(f"--between: there is no code of {case}{reason}.")
    shares = np.linspace(0, 100, _INTERPOLATION_STEPS)
    words = (first, *(f"{share:.0f} %" for share in shares[1:-1]), last)
    codes = np.linspace(table.codes[position[first]], table.codes[position[last]], _INTERPOLATION_STEPS)
    return PathPlan("interpolation", words, codes)
