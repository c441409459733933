"""The page of a prior's report: verdict, pictures, plots."""

from typing import Any

import numpy as np

from acnn_nnunet.pages.overlays import draw_outline, middle_planes, number_masks, paint_masks
from acnn_nnunet.pages.page import LABEL_COLOURS, figure_data_uri, literal, new_figure, render_page
from acnn_nnunet.pages.plots import code_panels, draw_spectrum
from acnn_nnunet.pages.viewer import ViewerCase, against_reference, pack_case, viewer_block
from acnn_nnunet.prior_report.reconstruction import HeldOutCase, look_at
from acnn_nnunet.prior_report.subject import Subject
from acnn_nnunet.shape_prior.label_maps.pca import LinearShapeModel

MODEL_TITLES = {"autoencoder": "autoencoder", "pca": "PCA", "predictor": "from the image"}
MEASURE_TITLES = {
    "l2": "plain code distance",
    "whitened": "whitened code distance",
    "decoded": "decoded code distance",
}
_MEASURE_COLOURS = {
    "l2": "#0072b2",
    "whitened": "#cc3311",
    "decoded": "#aa4499",
    "dice_loss": "#999999",
}


def render_prior_page(report: dict[str, Any], subject: Subject, pca: LinearShapeModel) -> str:
    """Return the page of a report, with pictures of the best, the median and the worst case."""
    ranking = report["reconstruction"]["ranking"]
    shown = dict.fromkeys(
        (ranking[index], title)
        for index, title in ((0, "best"), (len(ranking) // 2, "median"), (len(ranking) - 1, "worst"))
        if ranking
    )
    pictures, packed = [], []
    for case, title in shown:
        looked_at = look_at(subject, pca, case)
        picture = {
            "case": case,
            "source": _draw_case(looked_at, subject.geometry.spacing_mm),
            "caption": f"{title}: {case}, Dice {_case_dice(report, case)}",
            "viewer": f"{case} ({title})",
        }
        pictures.append(picture)
        packed.append(pack_case(_viewer_case(picture["viewer"], looked_at, subject)))
    return render_page(
        "prior_report.html",
        report=report,
        model_titles={m: MODEL_TITLES[m] for m in report["reconstruction"]["mean"]},
        label_colours=_label_colours(list(subject.names.values())),
        pictures=pictures,
        viewer=viewer_block(packed),
        scatter=_draw_cases(report) if ranking else None,
        defects=_draw_defects(report["code_distance"]),
        measure_titles={
            name: title
            for name, title in MEASURE_TITLES.items()
            if name in report["code_distance"]["rank_correlation_with_dice_loss"]
        },
        histograms=_draw_histograms(report["codes"]),
    )


def _case_dice(report: dict[str, Any], case: str) -> str:
    said = []
    for model, scores in report["reconstruction"]["cases"][case].items():
        known = [score["dice"] for score in scores.values() if score["dice"] is not None]
        said.append(f"{f'{np.mean(known):.3f}' if known else '–'} ({MODEL_TITLES[model]})")
    return ", ".join(said)


def _label_colours(names: list[str]) -> dict[str, str]:
    return {name: LABEL_COLOURS[index % len(LABEL_COLOURS)] for index, name in enumerate(names)}


def _draw_case(case: HeldOutCase, spacing_mm: tuple[float, ...]) -> str:
    """Draw the anatomy's middle slices: a row a plane, over the image the label and then each reconstruction."""
    columns = {"label": case.truth, **{MODEL_TITLES[name]: masks for name, masks in case.models.items()}}
    planes = middle_planes(np.logical_or.reduce(case.truth), spacing_mm)
    heights = [plane.height for plane in planes]
    width = 1.6
    figure = new_figure(width * len(columns), width * sum(heights) + 0.4)
    axes = figure.subplots(len(planes), len(columns), squeeze=False, height_ratios=heights)
    for row, plane in zip(axes, planes, strict=True):
        of_masks = (slice(None), *plane.index)
        for axis, (title, masks) in zip(row, columns.items(), strict=True):
            axis.imshow(case.image[plane.index], cmap="gray", aspect=plane.aspect, interpolation="nearest")
            axis.imshow(paint_masks(masks[of_masks], opacity=0.6), aspect=plane.aspect, interpolation="nearest")
            for mask in case.truth[of_masks]:
                draw_outline(axis, mask, colour="white", width=0.7)
            axis.set(xticks=[], yticks=[])
            if row is axes[0]:
                axis.set_title(title, fontsize=8)
    return figure_data_uri(figure, dpi=90)


def _viewer_case(name: str, case: HeldOutCase, subject: Subject) -> ViewerCase:
    """Return a case with a panel for each model: its reconstruction filled, under the outline of the label."""
    return against_reference(
        name,
        number_masks(case.truth),
        {MODEL_TITLES[model]: number_masks(masks) for model, masks in case.models.items()},
        subject.geometry.spacing_mm,
        image=case.image,
        label_names=dict(enumerate(subject.names.values(), start=1)),
        words=("label", "reconstruction"),
    )


def _draw_cases(report: dict[str, Any]) -> str:
    """Dice of each case: PCA against the autoencoder, and the share of the code's variance."""
    figure = new_figure(8.0, 3.2)
    dice, spectrum = figure.subplots(1, 2)
    reconstruction, codes = report["reconstruction"], report["codes"]
    for label, colour in _label_colours(list(reconstruction["per_label"]["autoencoder"])).items():
        scores = [(c["pca"][label]["dice"], c["autoencoder"][label]["dice"]) for c in reconstruction["cases"].values()]
        pairs = np.array([pair for pair in scores if None not in pair], dtype=float).reshape(-1, 2)
        dice.scatter(*pairs.T, s=12, color=colour, alpha=0.7, lw=0, label=literal(label))
    low = min([0.95, *dice.get_xlim(), *dice.get_ylim()])
    dice.plot([low, 1], [low, 1], color="#999", lw=0.8)
    dice.set(xlim=(low, 1), ylim=(low, 1), xlabel="Dice of PCA", ylabel="Dice of the autoencoder")
    dice.set_aspect("equal")
    dice.set_title("Every held-out case", fontsize=10)
    dice.legend(fontsize=8, frameon=False)
    draw_spectrum(spectrum, codes["eigenvalue_shares"], codes["effective_rank"], of=" of the codes")
    return figure_data_uri(figure)


def _draw_defects(code_distance: dict[str, Any]) -> str:
    """A panel a defect: each distance over that of two cases, and what Dice says, over the amount of the defect."""
    between = code_distance["between_cases"]
    strengths, defects = code_distance["strengths"], code_distance["defects"]
    rows = -(-len(defects) // 3)
    figure = new_figure(10.5, 2.9 * rows + 0.3)
    axes = figure.subplots(rows, 3, squeeze=False).ravel()
    for axis, (kind, measures) in zip(axes, defects.items(), strict=False):
        for name, title in MEASURE_TITLES.items():
            if between.get(name):
                means = np.array(measures[name]["means"]) / between[name]
                axis.plot(strengths, means, marker="o", ms=3, lw=1.4, color=_MEASURE_COLOURS[name], label=title)
        right = axis.twinx()
        right.plot(
            strengths, measures["dice_loss"]["means"], marker="s", ms=3, lw=1.2, ls="--", color="#999", label="1 - Dice"
        )
        right.set_ylim(bottom=0)
        right.tick_params(labelsize=7, colors="#777")
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=7)
        axis.set_title(kind, fontsize=9)
    for axis in axes[len(defects) :]:
        axis.set_visible(False)
    figure.supxlabel("amount of the defect", fontsize=9)
    figure.supylabel("distance over that of two different cases", fontsize=9)
    handles = [*axes[0].get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure_data_uri(figure)


def _draw_histograms(codes: dict[str, Any]) -> str:
    """Histograms of 16 dimensions, from the most to the least varied; held-out cases as a line."""
    figure, panels = code_panels(codes["variances"])
    for index, axis in panels:
        dimension = codes["dimensions"][index]
        edges = dimension["edges"]
        axis.stairs(_density(dimension["counts"]), edges, fill=True, color="#56b4e9")
        axis.stairs(_density(dimension["held_out_counts"]), edges, color="#222", lw=1)
    return figure_data_uri(figure)


def _density(counts: list[int]) -> np.ndarray:
    return np.array(counts) / max(1, sum(counts))
