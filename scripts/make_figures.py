"""Write the generated figures of README and docs into docs/figures/: `python scripts/make_figures.py`."""

import argparse
from pathlib import Path

import numpy as np

from acnn_nnunet.demo.page import draw_slices
from acnn_nnunet.demo.phantom import GROUPS, make_case

SHAPE, SPACING_MM = (60, 64, 64), (2.0, 2.0, 2.0)


def draw_phantoms(folder: Path) -> Path:
    """Draw one phantom of each group: apical, middle and basal slices, and the labels over the middle one."""
    rows = []
    for number, group in enumerate(GROUPS):
        image, label = make_case(np.random.default_rng([1, number]), group, SHAPE, SPACING_MM)
        occupied = np.flatnonzero(label.any(axis=(1, 2)))
        apical, middle, basal = np.quantile(occupied, [0.25, 0.55, 0.85]).astype(int)
        labelled = [(image[z], label[z]) for z in (apical, middle, basal)]
        rows.append((group, [(image[middle], None), *labelled]))
    return draw_slices(
        folder / "phantom.png",
        rows,
        column_titles=("middle slice", "labels: apical", "middle", "basal"),
        title="Generated phantom hearts with drop-out, speckle and slice motion",
        spacing_mm=SPACING_MM[1:],
    )


def main() -> None:
    """Write every figure and say where."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[1] / "docs" / "figures"
    parser.add_argument("-o", dest="folder", type=Path, default=default, help="default: docs/figures")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    print(draw_phantoms(folder))


if __name__ == "__main__":
    main()
