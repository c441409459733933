"""The results of the demo: Dice per label, a picture of the test hearts, and one page with everything."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK

from acnn_nnunet.demo.phantom import DEMO_SPACING_MM, GROUPS, LABELS
from acnn_nnunet.demo.steps import ARMS, ITERATIONS, Step
from acnn_nnunet.files.patients import read_groups
from acnn_nnunet.files.safe_writes import write_text
from acnn_nnunet.pages.page import LABEL_COLOURS, new_figure, render_page

PICTURE, PAGE = "demo.png", "demo.html"


def dice_table(*, without_prior: Path, with_prior: Path) -> str:
    """Return a table of the mean Dice per label from two `summary.json` files of `evaluate`."""
    columns = [json.loads(Path(path).read_text())["mean"] for path in (without_prior, with_prior)]
    lines = [f"{'mean Dice':<10}{'without prior':>15}{'with prior':>15}"]
    for name, value in LABELS.items():
        if name != "background":
            lines.append(f"{name:<10}" + "".join(f"{column[str(value)]['Dice']:>15.3f}" for column in columns))
    return "\n".join(lines)


def write_page(output: Path, steps: Sequence[Step], *, num_test: int) -> Path:
    """Write one self-contained page: the picture, the commands, and the pages that they wrote, each in a frame."""
    pages = {
        "Without and with the prior, case by case": output / "comparison" / "report.html",
        "The prior": output / "prior_report" / "report.html",
        **{f"Evaluation {arm.replace('_', ' ')}": output / "evaluations" / arm / "report.html" for arm in ARMS},
    }
    page = render_page(
        "demo.html",
        num_test=num_test,
        num_iterations=ITERATIONS,
        picture="data:image/png;base64," + base64.b64encode((output / PICTURE).read_bytes()).decode("ascii"),
        steps=steps,
        pages=[(title, path.read_text(encoding="utf-8")) for title, path in pages.items()],
    )
    write_text(output / PAGE, page)
    return output / PAGE


def draw_predictions(dataset: Path, output: Path) -> Path:
    """Draw the middle slice of one test case of each group: image, truth, and the prediction of each arm."""
    cases = [row for row in read_groups(dataset / "groups.csv") if row.case.startswith("phantom_ts")][: len(GROUPS)]
    rows = []
    for row in cases:
        case = row.case
        image = _read(dataset / "imagesTs" / f"{case}_0000.nii.gz")
        truth = _read(dataset / "labelsTs" / f"{case}.nii.gz")
        middle = int(np.median(np.flatnonzero(truth.any(axis=(1, 2)))))
        predictions = [_read(output / "predictions" / arm / f"{case}.nii.gz") for arm in reversed(ARMS)]
        panels = [(image[middle], label) for label in (None, *(each[middle] for each in (truth, *predictions)))]
        rows.append((f"{case}\n{row.group}", panels))
    return draw_slices(
        output / PICTURE,
        rows,
        column_titles=("image", "truth", "ACNNTrainer,\nprior_weight=0", "ACNNTrainer,\nwith prior"),
        title="acnn-nnunet demo: generated test hearts, middle slice",
        spacing_mm=DEMO_SPACING_MM[1:],
    )


def draw_slices(
    path: Path,
    rows: Sequence[tuple[str, Sequence[tuple[np.ndarray, np.ndarray | None]]]],
    *,
    column_titles: Sequence[str],
    title: str,
    spacing_mm: tuple[float, float] = (1.0, 1.0),
) -> Path:
    """Draw a grid of slices with labels laid over them and save it as a PNG.

    Args:
        path: file to write.
        rows: for each row its name and its panels, each an image `(Y, X)` and a label map `(Y, X)` or None.
        column_titles: one for each panel of a row.
        title: of the picture.
        spacing_mm: in-plane voxel size `(y, x)`.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    names = [name for name in LABELS if name != "background"]
    colours = LABEL_COLOURS[: len(names)]
    labels = {"cmap": ListedColormap(colours), "vmin": 1, "vmax": len(names), "alpha": 0.65}
    both = {"interpolation": "nearest", "aspect": spacing_mm[0] / spacing_mm[1]}
    figure = new_figure(1.7 * len(column_titles) + 0.4, 1.7 * len(rows) + 0.8)
    axes = figure.subplots(len(rows), len(column_titles), squeeze=False)
    for row_axes, (row_name, panels) in zip(axes, rows, strict=True):
        for axis, (image, label) in zip(row_axes, panels, strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1.3, **both)
            if label is not None:
                axis.imshow(np.ma.masked_equal(label, 0), **labels, **both)
            axis.set(xticks=[], yticks=[])
        row_axes[0].set_ylabel(row_name, fontsize=8)
    for axis, column_title in zip(axes[0], column_titles, strict=True):
        axis.set_title(column_title, fontsize=9)
    figure.suptitle(title, fontsize=10)
    handles = [Patch(color=colour, label=name) for colour, name in zip(colours, names, strict=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names), fontsize=8, frameon=False)
    figure.savefig(path, dpi=100)
    return path


def _read(path: Path) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
