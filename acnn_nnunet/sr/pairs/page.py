"""`pairs.html`: each pair before and after registration, with what is left of the misalignment."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from acnn_nnunet.casewise.work import Excluded
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.volumes import Volume, read_volume
from acnn_nnunet.pages.overlays import draw_overlay
from acnn_nnunet.pages.page import render_page
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.pairs.finding import PairFiles
from acnn_nnunet.sr.pairs.grids import RigidMotion, resampled_labels
from acnn_nnunet.sr.pairs.store import PairRecord


def draw_pair(files: PairFiles, record: PairRecord, model: HRModel) -> dict[str, str]:
    """Return the picture of a pair: HR labels by the headers and after registration, drawn over the stack's slices."""
    stack, labels = read_volume(files.stack[0], dtype=np.float32), read_volume(files.labels)
    before, after = (_on_slices(labels, stack.geometry, motion) for motion in (RigidMotion(), record.motion))
    names = {value: name for name, value in model.bundle.dataset_json["labels"].items() if isinstance(value, int)}
    source = draw_overlay(
        before,
        {record.case: after},
        stack.geometry.spacing_mm,
        image=stack.values,
        label_names=names,
        line_names=("by the headers", "registered"),
    )
    return {"case": record.case, "source": source, "caption": _caption(record)}


def render_pairs_page(
    records: Sequence[PairRecord], pictures: Sequence[Mapping[str, str]], excluded: Sequence[Excluded], *, dataset: str
) -> str:
    """Return the self-contained page."""
    about: dict[str, Any] = {"records": records, "pictures": pictures, "excluded": excluded, "dataset": dataset}
    return render_page("pairs.html", **about)


def _on_slices(labels: Volume, stack: Geometry, motion: RigidMotion) -> np.ndarray:
    return np.maximum(resampled_labels(labels, stack, motion), 0)


def _caption(record: PairRecord) -> str:
    if not record.registered:
        return f"{record.case}: by the headers; slices lie {record.misalignment_after_mm:.2f} mm off in plane"
    if record.remark:
        return f"{record.case}: headers kept, because {record.remark}"
    return (
        f"{record.case}: moved {record.motion.shift_mm:.2f} mm and {record.motion.rotation_deg:.2f}°; slices lay "
        f"{record.misalignment_before_mm:.2f} mm off in plane, now {record.misalignment_after_mm:.2f} mm"
    )
