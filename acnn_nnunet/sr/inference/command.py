"""`acnn-nnunet predict-hr`: label maps or images on the HR grid, out of a folder of thick-slice stacks."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from acnn_nnunet.casewise.cases import find_nifti, group_channels
from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.file_results import write_files
from acnn_nnunet.casewise.recorded import header_of
from acnn_nnunet.casewise.work import Excluded, Outcome, PerWorker
from acnn_nnunet.files.folders import image_ending
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.headers import NIFTI_ENDINGS
from acnn_nnunet.files.safe_writes import make_output_folder, write_json
from acnn_nnunet.files.volumes import Volume, read_channels, write_volume
from acnn_nnunet.sr.inference.hr_model import HRModel, load_hr_model
from acnn_nnunet.sr.inference.sliding_window import predict_sliding_window
from acnn_nnunet.sr.inference.stack_preprocessing import (
    prepare_stack,
    restore_image,
    restore_labels,
    slice_spacing_complaint,
)
from acnn_nnunet.sr.network import HROutput
from acnn_nnunet.sr.slice_thickness import told_thickness_of_channels_mm

COMMAND = "predict-hr"


@dataclass(frozen=True)
class Inference:
    """How a model is run.

    Attributes:
        step_size: distance of neighbouring windows as a share of the patch.
        mirroring: average over mirrored inputs, along the axes that training mirrored.
        device: "cpu", "cuda" or "mps".
        show_progress: show a bar over the windows of a stack.
    """

    step_size: float = 0.5
    mirroring: bool = True
    device: str = "cpu"
    show_progress: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.step_size <= 1:
            raise ValueError(f"-step_size is more than 0 and at most 1, not {self.step_size}.")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("There is no CUDA device on this machine: choose -device cpu.")


@dataclass(frozen=True)
class PredictHROptions:
    """A trained model, and how it is run.

    Attributes:
        dataset: id or name.
        configuration: planned by plan-hr.
        trainer: name of its class.
        plans_identifier: as in training.
        folds: numbers, or "all"; their probabilities, or images, are averaged.
        checkpoint_name: of each fold.
        inference: how the model is run.
        execution: where the cases are predicted.
    """

    dataset: str
    configuration: str
    trainer: str
    plans_identifier: str = "nnUNetPlans"
    folds: Sequence[int | str] = (0, 1, 2, 3, 4)
    checkpoint_name: str = "checkpoint_final.pth"
    inference: Inference = Inference(show_progress=True)
    execution: Execution = HERE


def predict_hr(source: Path, output: Path, options: PredictHROptions) -> Outcome:
    """Write the HR label map `CASE.nii.gz`, or the HR images `CASE_0000.nii.gz` …, of each stack of a folder.

    Args:
        source: folder of NIfTI stacks `CASE_0000.nii.gz`, one file per channel.
        output: folder to write; dataset.json and plans.json go there too, as the host does it.
        options: which model, and how it is run.

    Returns:
        What was done; not complete if a case could not be predicted.

    Raises:
        FileNotFoundError: if there is nothing to read, or no trained model.
        ValueError: if the model cannot be used.
        OSError: if the output cannot be written.
    """
    source, output = Path(source), Path(output)
    files, others = find_nifti(source)
    loaded = PerWorker(functools.partial(_load_model, dataclasses.replace(options, execution=HERE)))
    model = loaded()
    make_output_folder(output, source=source)
    write_json(output / "dataset.json", model.bundle.dataset_json)
    write_json(output / "plans.json", model.bundle.plans.plans)
    stacks, excluded = whole_stacks(files, model.bundle.num_channels)
    excluded += others
    cases = {case: (channels, _targets(output, case, model)) for case, channels in stacks.items()}
    work = functools.partial(_predict_case, model=loaded, inference=options.inference)
    names = [*cases, *(each.case for each in excluded)]
    header = header_of(COMMAND, source, options, names, model_sha256=model.bundle.sha256)
    return write_files(work, cases, output, header=header, execution=options.execution, excluded=excluded)


def predict_stack(
    model: HRModel, values: np.ndarray, geometry: Geometry, inference: Inference, *, any_spacing: bool = False
) -> tuple[np.ndarray, Geometry]:
    """Return what a model makes of a stack, and where its voxels lie.

    Args:
        model: of labels or images.
        values: (C, Z, Y, X), float32, as in the file.
        geometry: of the stack.
        inference: how the model is run.
        any_spacing: take slices of any spacing, though the model is planned for another one.

    Returns:
        (1, Z, Y, X) labels or (C, Z, Y, X) images in the stack's own intensities, K times as many slices; of a network
        of several factors as many as the planned HR spacing takes.

    Raises:
        ValueError: if the stack does not fit the model; the rest of a sentence that begins with the file.
    """
    model = model.for_stack(geometry)
    axes = model.reader_axes(geometry)
    spacing_mm = tuple(geometry.spacing_mm[axis] for axis in axes.axes)
    prepared = prepare_stack(axes.from_file(values), spacing_mm, model)
    if not any_spacing and (complaint := slice_spacing_complaint(geometry, model)):
        raise ValueError(complaint)
    prediction = predict_patches(model, torch.from_numpy(prepared.data), inference).numpy()
    if model.predicts_image:
        result = restore_image(prediction, prepared, model)
    else:
        result = restore_labels(prediction, prepared, model)[None]
    return axes.to_file(result), model.hr_grid(geometry)


def predict_patches(model: HRModel, stack: torch.Tensor, inference: Inference) -> torch.Tensor:
    """Return the mean over the folds of probabilities, or of normalised images, for a preprocessed stack (C, …)."""
    total: torch.Tensor | None = None
    for network in model.bundle.networks():
        if isinstance(output := getattr(network, "output", None), HROutput):
            output.choose(model.through_plane.factor)
        prediction = predict_sliding_window(
            network,
            stack,
            patch_size=model.lr_patch_size,
            factor=model.through_plane.factor,
            axis=model.through_plane.axis,
            step_size=inference.step_size,
            mirror_axes=model.bundle.mirror_axes if inference.mirroring else (),
            device=inference.device,
            show_progress=inference.show_progress,
        )
        if not model.predicts_image:
            prediction = torch.as_tensor(model.bundle.labels.apply_inference_nonlin(prediction))
        total = prediction if total is None else total + prediction
    assert total is not None
    return total / len(model.bundle.fold_weights)


def whole_stacks(files: Mapping[str, Path], num_channels: int) -> tuple[dict[str, list[Path]], list[Excluded]]:
    """Return the files of each case in the order of its channels, and the cases that are not whole.

    Args:
        files: by name without ending.
        num_channels: that a case has to have.
    """
    channels, others = group_channels(files)
    excluded = [
        Excluded(name, f"{path} has no channel number: rename it to {name}_0000{image_ending(path)}.")
        for name, path in others.items()
    ]
    cases = {}
    wanted = list(range(num_channels))
    for case, found in channels.items():
        if sorted(found) == wanted:
            cases[case] = [found[channel] for channel in wanted]
            continue
        names = " and ".join(path.name for path in found.values())
        expected = " and ".join(f"{case}_{channel:04d}" for channel in wanted)
        reason = (
            f"{next(iter(found.values())).parent} holds {names} of {case}, but the model takes {num_channels} "
            f"channel{'s' if num_channels > 1 else ''} ({expected}): add what is missing or remove what is too much."
        )
        excluded.append(Excluded(case, reason))
    return cases, excluded


def _targets(output: Path, case: str, model: HRModel) -> list[Path]:
    ending = model.bundle.dataset_json.get("file_ending")
    ending = ending if ending in NIFTI_ENDINGS else NIFTI_ENDINGS[0]
    if model.predicts_image:
        return [output / f"{case}_{channel:04d}{ending}" for channel in range(model.bundle.num_channels)]
    return [output / f"{case}{ending}"]


def _load_model(options: PredictHROptions) -> HRModel:
    return load_hr_model(
        options.dataset,
        options.configuration,
        trainer=options.trainer,
        plans_identifier=options.plans_identifier,
        folds=options.folds,
        checkpoint_name=options.checkpoint_name,
        device=options.inference.device,
    )


def _predict_case(case: tuple[list[Path], list[Path]], *, model: PerWorker[HRModel], inference: Inference) -> None:
    files, targets = case
    volumes = read_channels(files)
    geometry = volumes[0].geometry
    told_thickness_of_channels_mm(files, geometry.spacing_mm[model().slice_axis(geometry)])
    try:
        result, hr_geometry = predict_stack(model(), np.stack([v.values for v in volumes]), geometry, inference)
    except ValueError as error:
        raise ValueError(f"{files[0]} {error}") from error
    for target, values in zip(targets, result, strict=True):
        write_volume(target, Volume(values, hr_geometry))
