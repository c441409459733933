"""`acnn-nnunet degrade`: thick-slice stacks out of HR volumes, NIfTI in and out."""

import functools
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from acnn_nnunet.casewise.run import outcome_of, run
from acnn_nnunet.casewise.work import Outcome
from acnn_nnunet.files.headers import NIFTI_ENDINGS, is_nifti
from acnn_nnunet.files.safe_writes import make_output_folder
from acnn_nnunet.files.volumes import Volume, find_images, image_name, read_volume, write_volume
from acnn_nnunet.sr.degradation.acquisition import PROFILES, add_noise, degrade
from acnn_nnunet.sr.degradation.motion import draw_motion, drop_slices, move_slices
from acnn_nnunet.sr.stack_geometry import find_slice_axis, to_lr


@dataclass(frozen=True)
class Acquisition:
    """How a stack is acquired.

    Attributes:
        factor: K, HR slices in a thick one.
        profile: of a slice, "gaussian" or "boxcar".
        sigma_mm: of the Gaussian; None is 0.4·K HR spacings.
        motion_mm: each slice's translation is drawn within ± this, along each in-plane axis.
        rotation_deg: each slice's rotation is drawn within ± this.
        noise: standard deviation of Gaussian noise, as a share of the stack's own standard deviation.
        drop: probability of a slice to be lost.

    Raises:
        ValueError: if a number is out of range; names the option.
    """

    factor: int
    profile: str = "gaussian"
    sigma_mm: float | None = None
    motion_mm: float = 0.0
    rotation_deg: float = 0.0
    noise: float = 0.0
    drop: float = 0.0

    def __post_init__(self):
        if self.factor < 2:
            raise ValueError(f"--factor says how many HR slices make a thick one: 2 or more, not {self.factor}.")
        if self.profile not in PROFILES:
            raise ValueError(f"There is no slice profile {self.profile!r}; there are {', '.join(PROFILES)}.")
        if self.sigma_mm is not None and not 0 < self.sigma_mm < math.inf:
            raise ValueError(f"--sigma-mm is positive, not {self.sigma_mm}.")
        for option in ("motion_mm", "rotation_deg", "noise"):
            if not 0 <= getattr(self, option) < math.inf:
                raise ValueError(f"--{option.replace('_', '-')} is 0 or more, not {getattr(self, option)}.")
        if not 0 <= self.drop <= 1:
            raise ValueError(f"--drop is a probability from 0 to 1, not {self.drop}.")


def degrade_folder(
    source: Path, output: Path, acquisition: Acquisition, *, axis: int | None = None, seed: int = 0
) -> Outcome:
    """Write the thick-slice stack of a NIfTI file, or of each in a folder, under the same name, float32.

    What is drawn for a file depends on the seed and its name alone.

    Args:
        source: NIfTI file or folder of HR images.
        output: folder to write, or for one file a file name.
        acquisition: how the stacks come about.
        axis: the through-plane axis as the NIfTI file counts; None is the axis of the largest spacing, and the last
            where all are equal.
        seed: of what is drawn.

    Returns:
        What was done; not complete if a file could not be degraded.

    Raises:
        FileNotFoundError: if there is nothing to read.
        OSError: if the output cannot be written.
    """
    source, output = Path(source), Path(output)
    if source.is_dir():
        folder, volumes = output, find_images(source, NIFTI_ENDINGS)
        targets = {name: folder / path.name for name, path in volumes.items()}
        make_output_folder(folder, source=source)
    else:
        if not source.is_file():
            raise FileNotFoundError(f"{source} does not exist.")
        target = output if is_nifti(output) else output / source.name
        if source.resolve() == target.resolve():
            raise ValueError(f"{target} is the file that is read: choose another one with -o.")
        folder, volumes, targets = target.parent, {image_name(source): source}, {image_name(source): target}
        make_output_folder(folder)
    work = functools.partial(_degrade_file, acquisition=acquisition, axis=axis, seed=seed)
    cases = {name: (path, targets[name]) for name, path in volumes.items()}
    return outcome_of(run(work, cases, unit="image"), folder)


def degrade_volume(volume: Volume, acquisition: Acquisition, *, axis: int, generator: torch.Generator) -> Volume:
    """Return the stack of a volume: slice profile and decimation, then motion, noise and loss of slices.

    An in-plane motion of a whole slice and an average across it may be exchanged, so the thick slices are moved.

    Args:
        volume: HR image.
        acquisition: how the stack comes about.
        axis: the through-plane axis of the array.
        generator: of what is drawn; a CPU one.

    Raises:
        ValueError: if K does not divide the slices, or leaves fewer than two.
    """
    factor, geometry = acquisition.factor, volume.geometry
    sigma_mm = acquisition.sigma_mm
    image = torch.from_numpy(volume.values.copy()).float()[None, None]
    stack = degrade(
        image,
        factor,
        axis=axis,
        profile=acquisition.profile,
        sigma_voxels=None if sigma_mm is None else sigma_mm / geometry.spacing_mm[axis],
    )
    num_slices = stack.shape[2 + axis]
    if acquisition.motion_mm or acquisition.rotation_deg:
        motion = draw_motion(
            1,
            num_slices,
            translation_mm=acquisition.motion_mm,
            rotation_deg=acquisition.rotation_deg,
            generator=generator,
        )
        in_plane = [mm for i, mm in enumerate(geometry.spacing_mm) if i != axis]
        stack = move_slices(stack, motion, (in_plane[0], in_plane[1]), axis=axis)
    if acquisition.noise:
        stack = add_noise(stack, acquisition.noise * stack.std(), generator=generator)
    if acquisition.drop:
        stack, _ = drop_slices(stack, acquisition.drop, axis=axis, generator=generator)
    return Volume(stack[0, 0].numpy(), to_lr(geometry, factor, axis=axis))


def generator_of(name: str, *, seed: int) -> torch.Generator:
    """Return the random numbers of a file: other files and the order of work do not change them."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _degrade_file(files: tuple[Path, Path], *, acquisition: Acquisition, axis: int | None, seed: int) -> None:
    source, target = files
    volume = read_volume(source, dtype=np.float32)
    slice_axis = find_slice_axis(volume.geometry, axis)
    _check_factor(source, volume.geometry.size[slice_axis], acquisition.factor, nifti_axis=2 - slice_axis)
    stack = degrade_volume(volume, acquisition, axis=slice_axis, generator=generator_of(image_name(source), seed=seed))
    write_volume(target, stack)


def _check_factor(source: Path, num_slices: int, factor: int, *, nifti_axis: int) -> None:
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
