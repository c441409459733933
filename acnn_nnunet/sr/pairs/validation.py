"""`--val` on the real stacks of held-out cases, against HR labels or images brought onto the stacks' HR grids."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acnn_nnunet.files.folders import image_ending
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.safe_writes import make_output_folder
from acnn_nnunet.files.volumes import Volume, read_channels, read_volume, write_volume
from acnn_nnunet.sr.inference.command import Inference, predict_stack
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.pairs.finding import PairFiles
from acnn_nnunet.sr.pairs.grids import RigidMotion, covered, resampled_image, resampled_labels
from acnn_nnunet.sr.pairs.store import PairRecord


@dataclass(frozen=True)
class RealValidation:
    """Validation on real stacks.

    Attributes:
        model: to validate.
        inference: how it is run.
        predictions: folder for the HR predictions, on the stacks' HR grids.
        references: folder for labels or images of the HR side on the same grids, under the same names.
        log: takes a line about each case.
    """

    model: HRModel
    inference: Inference
    predictions: Path
    references: Path
    log: Callable[[str], None]

    def run(self, pairs: Mapping[str, tuple[PairFiles, PairRecord]]) -> None:
        """Write prediction and reference of each case; what the HR image does not cover is 0 in both.

        Raises:
            ValueError: in one sentence that names the file, if a stack cannot serve.
            OSError: if a folder cannot be written to.
        """
        for folder in (self.predictions, self.references):
            make_output_folder(folder)
        for case, (files, record) in pairs.items():
            self.log(f"predicting the real stack of {case}")
            stack = read_channels(files.stack)
            values = np.stack([each.values for each in stack])
            try:
                result, grid = predict_stack(self.model, values, stack[0].geometry, self.inference, any_spacing=True)
            except ValueError as error:
                raise ValueError(f"{files.stack[0]} {error}") from error
            references, inside = self._references(files, grid, record.motion)
            targets = zip(self.targets(case, files), references, result, strict=True)
            for name, reference, prediction in targets:
                write_volume(self.references / name, Volume(np.where(inside, reference, 0), grid))
                write_volume(self.predictions / name, Volume(np.where(inside, prediction, 0), grid))

    def targets(self, case: str, files: PairFiles) -> list[str]:
        """Return the names of a case's files."""
        ending = self.model.bundle.file_ending
        if self.model.predicts_image:
            return [f"{case}_{c:04d}{image_ending(path)}" for c, path in enumerate(files.stack)]
        return [f"{case}{ending}"]

    def _references(self, files: PairFiles, grid: Geometry, motion: RigidMotion) -> tuple[list[np.ndarray], np.ndarray]:
        if self.model.predicts_image:
            images = read_channels(files.image)
            values = [resampled_image(each, grid, motion) for each in images]
            return values, covered(images[0].geometry, grid, motion)
        labels = read_volume(files.labels)
        values = [resampled_labels(labels, grid, motion).clip(min=0).astype(labels.values.dtype)]
        return values, covered(labels.geometry, grid, motion)
