"""The page of a study: every item anonymous, with the input and the reference next to it (the paper's §III-E)."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from acnn_nnunet.evaluation.reading.study.cases import StudyCase
from acnn_nnunet.evaluation.reading.study.key import Item
from acnn_nnunet.pages.packed_volumes import intensity_range
from acnn_nnunet.pages.page import render_page
from acnn_nnunet.pages.viewer import (
    Image,
    Overlay,
    Panel,
    ViewerCase,
    pack_case,
    script_json,
    template_text,
    viewer_script,
)

RATINGS = {1: "very poor", 2: "poor", 3: "fair", 4: "good", 5: "excellent"}
"""The paper names the ends of its scale; the words between are those of ITU-T P.800."""


def pack_study_case(case: StudyCase, arms: Sequence[str], *, budget: int) -> dict[str, Any]:
    """Return a case for the viewer, without a name: a panel for each arm in the order given, one for the reference.

    An input, or the plain image under label maps, has the first panel. All arms share one range of grey values, which
    is theirs together; input and reference have their own, since clinical scans differ in intensities (§III-E).

    Args:
        case: volumes.
        arms: names.
        budget: characters that it may have.
    """
    images: dict[str, Image] = {}
    if case.inputs is not None:
        images["input"] = Image(case.inputs.values, case.inputs.geometry.spacing_mm, case.inputs_offset_mm)
    if case.image is not None:
        images["image"] = Image(case.image.values)
        panels = [
            Panel(title, (Overlay(labels, "contour", "line"),), "image")
            for title, labels in [*(("Segmentation", case.arms[arm]) for arm in arms), _reference(case)]
        ]
    else:
        grey = intensity_range([case.arms[arm] for arm in arms])
        images |= {f"arm {place}": Image(case.arms[arm], intensities=grey) for place, arm in enumerate(arms)}
        images["reference"] = Image(case.reference.values)
        panels = [Panel("Reconstruction", image=f"arm {place}") for place in range(len(arms))]
        panels.append(Panel("Reference", image="reference"))
    first = next((key for key in ("input", "image") if key in images), None)
    panels = [*([] if first is None else [Panel("Input", image=first)]), *panels]
    spacing_mm = case.reference.geometry.spacing_mm
    return pack_case(ViewerCase("", panels, spacing_mm, images, crop=case.image is not None), budget=budget)


def render_study_page(
    cases: Sequence[dict[str, Any]], items: Iterable[tuple[int, int]], *, question: str, labels: bool
) -> tuple[str, str]:
    """Return the page and the digest of what it shows, which its exports carry.

    Args:
        cases: packed.
        items: case and arm of each item, as places in `cases` and among the case's arms.
        question: to the readers.
        labels: whether label maps are rated.
    """
    content = {
        "question": question,
        "items": [list(each) for each in items],
        "ratings": [[value, word] for value, word in RATINGS.items()],
        "cases": list(cases),
    }
    digest = hashlib.sha256(script_json(content).encode("utf-8")).hexdigest()
    page = render_page(
        "reader_study.html",
        question=question,
        labels=labels,
        ratings=RATINGS,
        num_items=len(content["items"]),
        script=viewer_script() + template_text("sha256.js") + template_text("reader_study.js"),
        data=Markup(script_json({"study": digest, **content})),
    )
    return page, digest


def arm_orders(items: Sequence[Item]) -> dict[str, list[str]]:
    """Return the order in which each case holds its arms: that of the shuffled items, which tells nothing."""
    orders: dict[str, list[str]] = {}
    for item in items:
        orders.setdefault(item.case, []).append(item.arm)
    return orders


def _reference(case: StudyCase) -> tuple[str, Any]:
    return "Reference", case.reference.values
