"""`acnn-nnunet degrade`: thick-slice stacks out of HR volumes, NIfTI in and out."""

import dataclasses
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from acnn_nnunet.casewise.cases import find_nifti
from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.file_results import write_files
from acnn_nnunet.casewise.recorded import header_of
from acnn_nnunet.casewise.run import outcome_of, run
from acnn_nnunet.casewise.work import Outcome
from acnn_nnunet.files.folders import IMAGE_ENDINGS, image_name
from acnn_nnunet.files.headers import NIFTI_ENDINGS, is_nifti
from acnn_nnunet.files.on_demand import OnDemand
from acnn_nnunet.files.safe_writes import make_output_folder
from acnn_nnunet.files.volumes import Volume, read_volume, write_volume
from acnn_nnunet.sr.degradation.acquisition import Acquisition, acquire
from acnn_nnunet.sr.slice_thickness import check_thickness, write_sidecar
from acnn_nnunet.sr.stack_geometry import find_slice_axis, to_lr

COMMAND = "degrade"


@dataclass(frozen=True)
class DegradeOptions:
    """How files are degraded.

    Attributes:
        acquisition: of each stack.
        axis: the through-plane axis as the NIfTI file counts; None is the axis of the largest spacing, and the last
            where all are equal.
        seed: of the random numbers.
        execution: where the files are degraded.
    """

    acquisition: Acquisition
    axis: int | None = None
    seed: int = 0
    execution: Execution = HERE


def degrade_folder(source: Path, output: Path, options: DegradeOptions) -> Outcome:
    """Write the thick-slice stack of a NIfTI file, or of each in a folder, under the same name, float32.

    The random numbers of a file depend on the seed and its name alone. Where the slices' thickness is given, a JSON
    file of the same name tells it, as dcm2niix does.

    Args:
        source: NIfTI file or folder of HR images.
        output: folder to write, or for one file a file name.
        options: how the files are degraded.

    Returns:
        What was done; not complete if a file could not be degraded.

    Raises:
        FileNotFoundError: if there is nothing to read.
        OSError: if the output cannot be written.
    """
    source, output = Path(source), Path(output)
    work = functools.partial(_degrade_file, options=dataclasses.replace(options, execution=HERE))
    if not source.is_dir():
        target = _target_of_file(source, output)
        return outcome_of(run(work, {image_name(source): (source, target)}, unit="image"), target.parent)
    files, excluded = find_nifti(source)
    cases = OnDemand(files, lambda name: (files[name], output / files[name].name))
    make_output_folder(output, source=source)
    header = header_of(COMMAND, source, options, [*cases, *(each.case for each in excluded)])
    return write_files(work, cases, output, header=header, execution=options.execution, excluded=excluded)


def degrade_volume(volume: Volume, acquisition: Acquisition, *, axis: int, generator: torch.Generator) -> Volume:
    """Return the stack of a volume.

    Args:
        volume: HR image.
        acquisition: of the stack.
        axis: the through-plane axis of the array.
        generator: a CPU one.

    Raises:
        ValueError: if K does not divide the slices.
    """
    image = torch.from_numpy(volume.values.copy()).float()[None, None]
    stack = acquire(image, acquisition, volume.geometry.spacing_mm, axis=axis, generator=generator)
    return Volume(stack[0, 0].numpy(), to_lr(volume.geometry, acquisition.factor, axis=axis))


def generator_of(name: str, *, seed: int) -> torch.Generator:
    """Return the random generator of a file, which depends on neither other files nor the order of work."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _target_of_file(source: Path, output: Path) -> Path:
    if not source.is_file():
        raise FileNotFoundError(f"{source} does not exist.")
    if not is_nifti(output) and output.name.lower().endswith(IMAGE_ENDINGS):
        raise ValueError(f"{output} would not be NIfTI, which stacks are written as: name a .nii.gz, or a folder.")
    in_folder = source.name if is_nifti(source) else f"{image_name(source)}{NIFTI_ENDINGS[0]}"
    target = output if is_nifti(output) else output / in_folder
    if source.resolve() == target.resolve():
        raise ValueError(f"{target} is the file that is read: choose another one with -o.")
    make_output_folder(target.parent)
    return target


def _degrade_file(files: tuple[Path, Path], *, options: DegradeOptions) -> None:
    source, target = files
    volume = read_volume(source, dtype=np.float32)
    axis = find_slice_axis(volume.geometry.spacing_mm, options.axis)
    _check_slices(source, volume.geometry.size[axis], options.acquisition.factor, nifti_axis=2 - axis)
    thickness_mm, spacing_mm = options.acquisition.thickness_mm, volume.geometry.spacing_mm[axis]
    spacing_mm *= options.acquisition.factor
    if thickness_mm is not None:
        check_thickness(thickness_mm, spacing_mm, what=f"--thickness gives the stack of {source} slices of")
    generator = generator_of(image_name(source), seed=options.seed)
    write_volume(target, degrade_volume(volume, options.acquisition, axis=axis, generator=generator))
    write_sidecar(target, thickness_mm, spacing_mm)


def _check_slices(source: Path, num_slices: int, factor: int, *, nifti_axis: int) -> None:
    kept = num_slices // factor * factor
    if kept < 2 * factor:
        raise ValueError(
            f"{source} has {num_slices} slices along NIfTI axis {nifti_axis}, of which --factor {factor} leaves fewer "
            "than two thick ones: choose a smaller factor or another --axis."
        )
    if kept != num_slices:
        fitting = [str(k) for k in range(2, num_slices // 2 + 1) if num_slices % k == 0]
        others = f", or choose a factor of {', '.join(fitting)}" if fitting else ""
        raise ValueError(
            f"{source} has {num_slices} slices along NIfTI axis {nifti_axis}, which --factor {factor} does not divide: "
            f"crop it to {kept}{others}."
        )
