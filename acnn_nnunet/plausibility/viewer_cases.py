"""The cases of the page's viewer: a prediction, and what it is compared with, as volumes."""

from collections.abc import Iterable, Mapping
from typing import Any

from acnn_nnunet.pages.viewer import Image, Overlay, Panel, ViewerCase, against_reference, pack_case
from acnn_nnunet.plausibility.scores import Prediction, Scorer
from acnn_nnunet.plausibility.slices import ComparedMaps

_MOST_CASES = 10  # that are scored once more, since only slices are kept of all


def pack_shown_cases(
    scorer: Scorer, found: Mapping[str, Prediction], cases: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Return the first cases packed for the viewer, by name; without those whose files cannot be read any more.

    Args:
        scorer: that scored them.
        found: files by case.
        cases: that the page shows, worst first.
    """
    packed = {}
    for case in list(cases)[:_MOST_CASES]:
        try:
            compared = scorer.compare(found[case])
        except (KeyError, ValueError, OSError):  # removed since: the scores stand without it
            continue
        if compared is not None:
            packed[case] = pack_case(_shown(case, compared))
    return packed


def _shown(case: str, compared: ComparedMaps) -> ViewerCase:
    if compared.other is not None:
        return against_reference(
            case,
            compared.other,
            {"": compared.prediction},
            compared.spacing_mm,
            image=compared.image,
            label_names=compared.label_names,
            words=(compared.line, "prediction"),
        )
    images = {} if compared.image is None else {"image": Image(compared.image)}
    panel = Panel("", (Overlay(compared.prediction, "prediction"),), next(iter(images), None))
    return ViewerCase(case, [panel], compared.spacing_mm, images, compared.label_names, number=compared.number)
