"""`--val` for thick slices: the fold's validation images become stacks, and `predict-hr`'s code runs on them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.evaluation.images.pairs import ImagePair
from acnn_nnunet.evaluation.images.scores import score_pair, summarise
from acnn_nnunet.files.folders import image_ending, image_name
from acnn_nnunet.files.safe_writes import make_output_folder, write_json
from acnn_nnunet.files.volumes import Volume, read_channels, write_volume
from acnn_nnunet.sr.degradation.acquisition import Acquisition, pad_slices
from acnn_nnunet.sr.degradation.command import degrade_volume, generator_of
from acnn_nnunet.sr.inference.command import Inference, predict_stack
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.inference.stack_preprocessing import slice_spacing_complaint
from acnn_nnunet.sr.stack_geometry import with_slices

SEED = 0  # of the stacks' motion, whatever the training's: all runs are validated on the same stacks
SUMMARY_FILE = "summary.json"


@dataclass(frozen=True)
class SimulatedValidation:
    """Validation on stacks simulated from HR images.

    Attributes:
        model: to validate.
        acquisition: how stacks come about.
        inference: how the model is run.
        predictions: folder for the HR predictions.
        stacks: folder for the simulated stacks.
        log: takes a line about each case.
    """

    model: HRModel
    acquisition: Acquisition
    inference: Inference
    predictions: Path
    stacks: Path
    log: Callable[[str], None]

    def run(self, cases: Mapping[str, Sequence[Path]]) -> None:
        """Write stack and prediction of each case, the prediction on the grid of the HR image.

        K need not divide the slices: the last one goes on until it does, and what is predicted there is cut off. What
        is drawn for a case depends on its name alone, and is what `degrade --seed 0` draws for its first channel.

        Args:
            cases: HR images of each case in the order of its channels.

        Raises:
            ValueError: in one sentence that names the file, if an image cannot serve.
            OSError: if a folder cannot be written to.
        """
        for folder in (self.predictions, self.stacks):
            make_output_folder(folder)
        for case, files in cases.items():
            self.log(f"predicting {case}")
            self._predict(case, files)

    def targets(self, case: str, files: Sequence[Path]) -> list[Path]:
        """Return the files that a case's predictions are written to."""
        if self.model.predicts_image:
            return [self.predictions / f"{case}_{c:04d}{image_ending(path)}" for c, path in enumerate(files)]
        return [self.predictions / f"{case}{image_ending(files[0])}"]

    def _predict(self, case: str, files: Sequence[Path]) -> None:
        volumes = read_channels(files)
        geometry = volumes[0].geometry
        axis = self.model.slice_axis(geometry)
        stacks = [self._degrade(volume, axis, name=f"{case}_0000") for volume in volumes]
        for channel, (path, stack) in enumerate(zip(files, stacks, strict=True)):
            write_volume(self.stacks / f"{case}_{channel:04d}{image_ending(path)}", stack)
        stack_grid = stacks[0].geometry
        # The HR image's own slices, which need not be as far apart as planned.
        model = replace(self.model.for_stack(stack_grid), wanted_slices=stack_grid.size[axis] * self.acquisition.factor)
        if complaint := slice_spacing_complaint(stack_grid, model):
            self.log(f"WARNING: the stack simulated from {files[0]} {complaint} predict-hr would refuse it.")
        values = np.stack([stack.values for stack in stacks])
        try:
            result, _ = predict_stack(model, values, stack_grid, self.inference, any_spacing=True)
        except ValueError as error:
            raise ValueError(f"The stack simulated from {files[0]} {error}") from error
        inside = (slice(None), *(slice(n) for n in geometry.size))
        for target, prediction in zip(self.targets(case, files), result[inside], strict=True):
            write_volume(target, Volume(prediction, geometry))

    def _degrade(self, volume: Volume, axis: int, *, name: str) -> Volume:
        padded = pad_slices(volume.values[None], self.acquisition.factor, axis=axis)[0]
        whole = Volume(padded, with_slices(volume.geometry, padded.shape[axis], axis=axis))
        return degrade_volume(whole, self.acquisition, axis=axis, generator=generator_of(name, seed=SEED))


def score_labels(model: HRModel, predictions: Path, references: Path, *, num_processes: int) -> dict[str, Any]:
    """Score label maps as nnU-Net's own validation does, into `summary.json`, and return what was written."""
    from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder

    labels = model.bundle.labels
    return compute_metrics_on_folder(
        str(references),
        str(predictions),
        str(predictions / SUMMARY_FILE),
        model.bundle.plans.image_reader_writer_class(),
        model.bundle.dataset_json["file_ending"],
        labels.foreground_regions if labels.has_regions else labels.foreground_labels,
        labels.ignore_label,
        chill=True,
        num_processes=num_processes,
    )


def score_images(pairs: Sequence[tuple[Path, Path]], predictions: Path) -> dict[str, Any]:
    """Score images (reference, prediction) as `evaluate-sr` does, into `summary.json`, and return what was written."""
    scores = [score_pair(ImagePair(image_name(prediction), reference, prediction)) for reference, prediction in pairs]
    per_case = {
        score.case: {
            "ssim_3d": score.ssim_3d,
            "ssim_slices": score.ssim_slices,
            "psnr_db": score.psnr_db,
            "mae": score.mae,
        }
        for score in scores
    }
    summary = {"metric_per_case": per_case, **summarise(scores)}
    write_json(predictions / SUMMARY_FILE, summary)
    return summary
