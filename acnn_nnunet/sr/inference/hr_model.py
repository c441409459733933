"""A trained LR-in/HR-out model as nnU-Net leaves it on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.nnunet.models import ModelBundle, trained_bundle
from acnn_nnunet.sr.stack_geometry import AxisOrder, ThroughPlane, reader_axes

IMAGE_ATTRIBUTE = "predicts_image"
"""A trainer class whose network puts out images says so with this attribute, True; others put out labels."""


@dataclass(frozen=True)
class HRModel:
    """A network from thick-slice stacks to thin slices.

    Attributes:
        bundle: network, weights of its folds, plans and dataset.json.
        predicts_image: whether the network puts out an image, not labels.
    """

    bundle: ModelBundle
    predicts_image: bool

    @cached_property
    def through_plane(self) -> ThroughPlane:
        """Factor and axis; raises ValueError if the configuration was not planned for thick slices."""
        return ThroughPlane.from_configuration(self.bundle.configuration.configuration)

    def reader_axes(self, geometry: Geometry) -> AxisOrder:
        """Return how the plans' reader orders the axes of an image."""
        return reader_axes(geometry, reorients="Reorient" in self.bundle.plans.plans.get("image_reader_writer", ""))

    def slice_axis(self, geometry: Geometry) -> int:
        """Return the array axis of an image, as in its file, along which the slices are stacked."""
        return self.reader_axes(geometry).axes[self.bundle.plans.transpose_forward[self.through_plane.axis]]

    @property
    def lr_patch_size(self) -> list[int]:
        """The patch that the network takes, in its own order of axes."""
        factor, axis = self.through_plane.factor, self.through_plane.axis
        return [n // factor if i == axis else n for i, n in enumerate(self.bundle.configuration.patch_size)]


def load_hr_model(
    dataset: str,
    configuration: str,
    *,
    trainer: str,
    plans_identifier: str = "nnUNetPlans",
    folds: Sequence[int | str] = (0, 1, 2, 3, 4),
    checkpoint_name: str = "checkpoint_final.pth",
    device: str = "cpu",
) -> HRModel:
    """Load a model of a configuration that plan-hr planned; arguments and errors are those of `trained_bundle`."""
    bundle, trainer_class = trained_bundle(
        dataset,
        configuration,
        trainer=trainer,
        plans_identifier=plans_identifier,
        folds=folds,
        checkpoint_name=checkpoint_name,
        device=device,
        check=_check_thick_slices,
    )
    return HRModel(bundle, bool(getattr(trainer_class, IMAGE_ATTRIBUTE, False)))


def _check_thick_slices(bundle: ModelBundle) -> None:
    where = f"The configuration {bundle.name} of {bundle.source.parent}"
    ThroughPlane.from_configuration(bundle.configuration.configuration, where=where)
