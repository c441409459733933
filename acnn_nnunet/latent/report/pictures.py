"""Pictures of a latent space: histograms, correlation, spectrum, splits, and decoded shapes as surfaces and slices."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from acnn_nnunet.files.geometry import longest_axis
from acnn_nnunet.files.patients import CaseGroup
from acnn_nnunet.latent.report.space import Splits
from acnn_nnunet.pages.overlays import box_around, middle_planes, paint_masks
from acnn_nnunet.pages.page import LABEL_COLOURS, figure_data_uri, literal, new_figure
from acnn_nnunet.pages.plots import code_panels, draw_spectrum

# Finer surfaces take matplotlib seconds each.
_MOST_SURFACE_VOXELS = 36
_MARKERS = {"ED": "o", "ES": "^"}


def draw_histograms(space: Mapping[str, Any]) -> str:
    """Return histograms of up to 16 dimensions, evenly from the most to the least varied, with normal curves."""
    figure, panels = code_panels(space["variances"])
    for index, axis in panels:
        _draw_histogram(axis, space["dimensions"][index])
    return figure_data_uri(figure)


def draw_spread(space: Mapping[str, Any], coordinates: np.ndarray, cases: Sequence[CaseGroup]) -> str:
    """Return correlation matrix, spectrum, and the cases along the first two principal directions, in SD."""
    figure = new_figure(12.0, 3.4)
    correlation, spectrum, plane = figure.subplots(1, 3)
    image = correlation.imshow(space["correlation"]["matrix"], cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    figure.colorbar(image, ax=correlation, shrink=0.8)
    correlation.set_title("Correlation of the dimensions", fontsize=10)
    draw_spectrum(spectrum, space["eigenvalue_shares"], space["effective_rank"])
    _draw_plane(plane, coordinates, cases)
    return figure_data_uri(figure)


def draw_splits(splits: Splits) -> str:
    """Return bars of the share of splits and of the fall in impurity of the 20 most split dimensions."""
    order = splits.order[:20]
    figure = new_figure(0.42 * len(order) + 2.5, 2.8)
    axis = figure.subplots()
    places = np.arange(len(order))
    axis.bar(places - 0.2, splits.shares[order], 0.4, color="#0072b2", label="splits")
    axis.bar(places + 0.2, splits.importances[order], 0.4, color="#e69f00", label="fall in impurity")
    axis.axhline(1 / len(splits.shares), color="#999", lw=0.8, ls="--", label="all alike")
    axis.set_xticks(places, [f"code_{k}" for k in order], rotation=60, fontsize=7)
    axis.set_ylabel("share")
    axis.legend(fontsize=8, frameon=False)
    return figure_data_uri(figure)


def draw_path(
    margins: np.ndarray,
    masks: np.ndarray,
    titles: Sequence[str],
    spacing_mm: Sequence[float],
    *,
    seen_through: Collection[int] = (),
) -> str:
    """Return shapes on a path side by side: surfaces above (in 3D), slices through the middle of them all below.

    Args:
        margins: (S, K, …) of the labels, above 0 where a voxel has the label.
        masks: (S, K, …) bool.
        titles: of each shape.
        spacing_mm: of the grid.
        seen_through: labels (of the K) whose surfaces hide no other, in 3D.
    """
    somewhere: np.ndarray = np.logical_or.reduce(masks, axis=(0, 1))
    box = (slice(None), slice(None), *box_around(somewhere, margin=2))
    margins, masks = margins[box], masks[box]
    solid = masks.ndim == 5
    through = longest_axis(spacing_mm)
    planes = middle_planes(somewhere[box[2:]], spacing_mm, axes=(through, 1 if through != 1 else 2))
    heights = [*([1.0] if solid else []), *(plane.height for plane in planes)]
    width = 2.1
    figure = new_figure(width * len(masks), width * sum(heights) + 0.4)
    layout = figure.add_gridspec(len(heights), len(masks), height_ratios=heights)
    for column, title in enumerate(titles):
        if solid:
            axis = figure.add_subplot(layout[0, column], projection="3d")
            _draw_surfaces(axis, margins[column], spacing_mm, seen_through=seen_through)
            axis.set_title(literal(title), fontsize=9, y=0.97)
        for row, plane in enumerate(planes, start=int(solid)):
            axis = figure.add_subplot(layout[row, column])
            here = (column, slice(None), *plane.index)
            shown = paint_masks(masks[here], ground=1.0)
            # Where slices are stacked up in the surfaces they are in their section too.
            origin: Literal["lower", "upper"] = "lower" if solid and plane.index[0] == slice(None) else "upper"
            axis.imshow(shown, aspect=plane.aspect, origin=origin, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            if not solid:
                axis.set_title(literal(title), fontsize=9)
    return figure_data_uri(figure)


def enclosing_labels(masks: np.ndarray, spacing_mm: Sequence[float]) -> set[int]:
    """Return the labels of masks (S, K, Z, Y, X) that are most of what is around another one, slice by slice."""
    from scipy.ndimage import binary_dilation

    through = 2 + longest_axis(spacing_mm)
    neighbours = np.ones([1 if axis == through or axis < 2 else 3 for axis in range(5)], dtype=bool)
    rims = binary_dilation(masks, neighbours) & ~masks
    found = set()
    for inner in range(masks.shape[1]):
        around = [int((rims[:, inner] & masks[:, outer]).sum()) for outer in range(masks.shape[1])]
        if max(around) > rims[:, inner].sum() / 2:
            found.add(int(np.argmax(around)))
    return found


def surfaces(margins: np.ndarray, spacing_mm: Sequence[float]) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """Return vertices in mm (V, 3) and triangles (T, 3) of each label's surface; None of a label that is absent.

    Args:
        margins: (K, Z, Y, X), 0 at the surface; brought to nearly cubic voxels, 36 along the longest edge.
        spacing_mm: of the grid.
    """
    from scipy.ndimage import zoom
    from skimage.measure import marching_cubes

    lengths = np.array(margins.shape[1:]) * np.asarray(spacing_mm, dtype=float)
    voxel = max(lengths.max() / _MOST_SURFACE_VOXELS, min(spacing_mm))
    sizes = np.maximum(2, np.round(lengths / voxel))
    meshes: list[tuple[np.ndarray, np.ndarray] | None] = []
    for label in margins:
        # A border closes a shape that reaches the grid's edge.
        cubic = zoom(label, sizes / label.shape, order=1, mode="nearest", grid_mode=True)
        cubic = np.pad(cubic, 1, constant_values=-1)
        if cubic.max() <= 0:
            meshes.append(None)
            continue
        vertices, triangles, _, _ = marching_cubes(cubic, 0.0, spacing=tuple(lengths / sizes))
        meshes.append((vertices, triangles))
    return meshes


def _draw_surfaces(
    axis: Any, margins: np.ndarray, spacing_mm: Sequence[float], *, seen_through: Collection[int]
) -> None:
    from matplotlib.colors import LightSource, to_rgba
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    corners, colours = [], []
    for label, mesh in enumerate(surfaces(margins, spacing_mm)):
        if mesh is None:
            continue
        vertices, triangles = mesh
        corners.append(vertices[:, ::-1][triangles])
        colour = to_rgba(LABEL_COLOURS[label % len(LABEL_COLOURS)], 0.3 if label in seen_through else 1.0)
        colours.append(np.tile(colour, (len(triangles), 1)))
    if corners:
        # One collection for all: matplotlib sorts by depth within each.
        light = LightSource(azdeg=225, altdeg=45)
        faces, painted = np.concatenate(corners), np.concatenate(colours)
        axis.add_collection3d(Poly3DCollection(faces, facecolors=painted, shade=True, lightsource=light, linewidths=0))
    lengths = np.array(margins.shape[1:]) * np.asarray(spacing_mm, dtype=float)
    z, y, x = lengths
    axis.set(xlim=(0, x), ylim=(0, y), zlim=(0, z))
    axis.set_box_aspect((x, y, z), zoom=1.25)
    axis.view_init(elev=25, azim=-60)
    axis.set_axis_off()


def _draw_histogram(axis: Any, dimension: Mapping[str, Any]) -> None:
    edges, counts = np.array(dimension["edges"]), np.array(dimension["counts"])
    width = edges[1] - edges[0]
    axis.stairs(counts / counts.sum() / width, edges, fill=True, color="#56b4e9")
    if dimension["sd"] > 0:
        x = np.linspace(edges[0], edges[-1], 100)
        z = (x - dimension["mean"]) / dimension["sd"]
        axis.plot(x, np.exp(-(z**2) / 2) / (dimension["sd"] * np.sqrt(2 * np.pi)), color="#222", lw=1)


def _draw_plane(axis: Any, coordinates: np.ndarray, cases: Sequence[CaseGroup]) -> None:
    groups = sorted({case.group for case in cases})
    phases = sorted({case.phase for case in cases})
    for index, group in enumerate(groups):
        for phase in phases:
            chosen = [i for i, case in enumerate(cases) if (case.group, case.phase) == (group, phase)]
            if chosen:
                axis.scatter(
                    *coordinates[chosen].T,
                    s=14,
                    lw=0,
                    alpha=0.8,
                    marker=_MARKERS.get(phase, "s" if phase else "o"),
                    color=LABEL_COLOURS[index % len(LABEL_COLOURS)],
                    label=literal(" ".join(filter(None, (group, phase))) or "cases"),
                )
    axis.set(xlabel="principal 1, SD", ylabel="principal 2, SD")
    axis.set_title("The cases", fontsize=10)
    if len(groups) * len(phases) > 1:
        axis.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
