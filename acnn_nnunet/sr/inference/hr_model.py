"""A trained LR-in/HR-out model as nnU-Net leaves it on disk."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.nnunet.models import ModelBundle, trained_bundle
from acnn_nnunet.nnunet.setting_rule import read_factors
from acnn_nnunet.nnunet.settings import PLANS_KEY
from acnn_nnunet.sr.stack_geometry import AxisOrder, ThroughPlane, nearest_factor, reader_axes, resliced, stack_patch

IMAGE_ATTRIBUTE = "predicts_image"
"""A trainer class whose network puts out images says so with this attribute, True; others put out labels."""


@dataclass(frozen=True)
class HRModel:
    """A network from thick-slice stacks to thin slices.

    Attributes:
        bundle: network, weights of its folds, plans and dataset.json.
        predicts_image: whether the network puts out an image, not labels.
        chosen: the factor of the stack at hand; None is the planned one.
        wanted_slices: that are put out for the stack at hand; None leaves it to `hr_slices`.
    """

    bundle: ModelBundle
    predicts_image: bool
    chosen: int | None = None
    wanted_slices: int | None = None

    @cached_property
    def through_plane(self) -> ThroughPlane:
        """Factor and axis; raises ValueError if the configuration was not planned for thick slices."""
        planned = ThroughPlane.from_configuration(self.bundle.configuration.configuration)
        return planned if self.chosen is None else replace(planned, factor=self.chosen)

    @cached_property
    def factors(self) -> tuple[int, ...]:
        """The factors that the network was trained for."""
        configured = self.bundle.configuration.configuration.get(PLANS_KEY, {}).get("factors")
        return (self.through_plane.factor,) if configured is None else read_factors(configured)

    def for_stack(self, geometry: Geometry) -> "HRModel":
        """Return the model with that one of its factors that is nearest to a stack's spacing."""
        if len(self.factors) == 1 and self.factors[0] == self.through_plane.factor:
            return self
        hr_mm = float(self.bundle.configuration.spacing[self.through_plane.axis])
        ratio = geometry.spacing_mm[self.slice_axis(geometry)] / hr_mm
        return replace(self, chosen=nearest_factor(ratio, self.factors))

    def hr_slices(self, slices: int, spacing_mm: float) -> int:
        """Return how many slices are put out for a stack: K times as many.

        A network of several factors puts out the planned HR spacing, so that all stacks of a folder come to one.

        Args:
            slices: of the stack.
            spacing_mm: of the stack.
        """
        if self.wanted_slices is not None:
            return self.wanted_slices
        if len(self.factors) == 1:
            return self.through_plane.factor * slices
        hr_mm = float(self.bundle.configuration.spacing[self.through_plane.axis])
        return max(1, round(slices * spacing_mm / hr_mm))

    def hr_grid(self, stack: Geometry) -> Geometry:
        """Return the grid of what is put out for a stack."""
        axis = self.slice_axis(stack)
        return resliced(stack, self.hr_slices(stack.size[axis], stack.spacing_mm[axis]), axis=axis)

    def reader_axes(self, geometry: Geometry) -> AxisOrder:
        """Return how the plans' reader orders the axes of an image."""
        return reader_axes(geometry, reorients="Reorient" in self.bundle.plans.plans.get("image_reader_writer", ""))

    def slice_axis(self, geometry: Geometry) -> int:
        """Return the array axis of an image, as in its file, along which the slices are stacked."""
        return self.reader_axes(geometry).axes[self.bundle.plans.transpose_forward[self.through_plane.axis]]

    @property
    def lr_patch_size(self) -> list[int]:
        """The patch that the network takes, in its own order of axes."""
        configuration = self.bundle.configuration
        strides = configuration.configuration["architecture"]["arch_kwargs"].get("strides", [])
        return stack_patch(configuration.patch_size, self.through_plane, strides)


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
