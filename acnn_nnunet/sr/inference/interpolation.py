"""`acnn-nnunet predict-hr --baseline`: interpolation along the slices of images or label maps, without a model."""

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from acnn_nnunet.casewise.cases import find_nifti
from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.file_results import write_files
from acnn_nnunet.casewise.recorded import header_of
from acnn_nnunet.casewise.work import Outcome
from acnn_nnunet.files.on_demand import OnDemand
from acnn_nnunet.files.safe_writes import make_output_folder
from acnn_nnunet.files.volumes import Volume, read_volume, write_volume
from acnn_nnunet.sr.slice_thickness import told_thickness_mm
from acnn_nnunet.sr.stack_geometry import check_factor, find_slice_axis, to_hr
from acnn_nnunet.sr.upsampling import INTERPOLATIONS, interpolate_slices

COMMAND = "predict-hr --baseline"
_LARGEST_LABEL = 65535


@dataclass(frozen=True)
class InterpolationOptions:
    """How stacks are interpolated.

    Attributes:
        method: "linear", or "bspline" for the interpolating cubic B-spline.
        factor: K.
        axis: the through-plane axis as the NIfTI file counts; None is the axis of the largest spacing, and the last
            where all are equal.
        labels: whether the files are label maps: each label is interpolated and the largest one taken.
        execution: where the files are interpolated.

    Raises:
        ValueError: for another method or a factor below 2.
    """

    method: str
    factor: int
    axis: int | None = None
    labels: bool = False
    execution: Execution = HERE

    def __post_init__(self) -> None:
        if self.method not in INTERPOLATIONS:
            raise ValueError(f"There is no interpolation {self.method!r}; there are {', '.join(INTERPOLATIONS)}.")
        check_factor(self.factor)


def interpolate_folder(source: Path, output: Path, options: InterpolationOptions) -> Outcome:
    """Write each NIfTI stack of a folder with slices K times as dense, under the same name.

    Returns:
        What was done; not complete if a file could not be interpolated.

    Raises:
        FileNotFoundError: if there is nothing to read.
        OSError: if the output cannot be written.
    """
    source, output = Path(source), Path(output)
    files, excluded = find_nifti(source)
    make_output_folder(output, source=source)
    cases = OnDemand(files, lambda name: (files[name], output / files[name].name))
    work = functools.partial(_interpolate_file, options=dataclasses.replace(options, execution=HERE))
    header = header_of(COMMAND, source, options, [*cases, *(each.case for each in excluded)])
    return write_files(work, cases, output, header=header, execution=options.execution, excluded=excluded)


def interpolate_labels(labels: np.ndarray, factor: int, *, axis: int, method: str) -> np.ndarray:
    """Return a label map (Z, Y, X) with slices K times as dense; of equal shares the lower label wins.

    Args:
        labels: whole numbers from 0 to 65535.
        factor: K.
        axis: the through-plane axis of the array.
        method: with which the share of each label is interpolated.
    """
    present = np.unique(labels)
    best, result = None, None
    for label in present:  # one at a time: all shares at once would take many times the volume's memory
        share = interpolate_slices(
            torch.from_numpy((labels == label).astype(np.float32))[None, None], factor, axis=axis, method=method
        )[0, 0].numpy()
        if best is None or result is None:
            best, result = share, np.full(share.shape, label)
        else:
            larger = share > best
            result[larger], best[larger] = label, share[larger]
    assert result is not None
    return result.astype(np.uint8 if present[-1] < 256 else np.uint16)


def _interpolate_file(files: tuple[Path, Path], *, options: InterpolationOptions) -> None:
    source, target = files
    stack = read_volume(source, dtype=np.float32)
    axis = find_slice_axis(stack.geometry.spacing_mm, options.axis)
    if stack.geometry.size[axis] < 2:
        raise ValueError(f"{source} has one slice along NIfTI axis {2 - axis}: a stack has at least 2.")
    told_thickness_mm(source, stack.geometry.spacing_mm[axis])  # refuses a sidecar that belongs to another stack
    if options.labels:
        _check_labels(source, stack.values)
        values = interpolate_labels(stack.values, options.factor, axis=axis, method=options.method)
    else:
        image = torch.from_numpy(stack.values.copy())[None, None]
        values = interpolate_slices(image, options.factor, axis=axis, method=options.method)[0, 0].numpy()
    write_volume(target, Volume(values, to_hr(stack.geometry, options.factor, axis=axis)))


def _check_labels(source: Path, values: np.ndarray) -> None:
    if values.min() < 0 or values.max() > _LARGEST_LABEL or not np.array_equal(values, np.round(values)):
        raise ValueError(f"{source} is no label map (whole numbers from 0 to {_LARGEST_LABEL}): leave out --labels.")
