"""What a calibration tries on a prediction: nothing, the careful default, and what differs from it."""

from collections.abc import Sequence
from dataclasses import dataclass

from acnn_nnunet.refinement.recipe import Band, Mix, Recipe, Step

MIXES = (Mix(), Mix(0.25), Mix(0.5), Mix(0.25, thick=True), Mix(0.75, thick=True))
"""What is tried for all labels at once, and for one label at a time; the first one removes islands alone.

The whole of the changes is not among them: spoilt copies ask for it, and on bad images it costs Dice, as spoiling moves
boundaries more than bad images do.
"""


@dataclass(frozen=True)
class Choice:
    """A way to refine predictions, for any method.

    Attributes:
        mix: of all labels, or of one; None for the careful default.
        label: the only one that the mix is of: the others have the default; None for all.
        leave: the prediction stays as it is.
    """

    mix: Mix | None = None
    label: str | None = None
    leave: bool = False

    def step(self, method: str, resemblance: float) -> Step | None:
        """Return what is done to a prediction of a resemblance; None leaves it."""
        default = Recipe.careful(method).step_for({"resemblance": resemblance})
        if self.leave:
            return None
        if self.mix is None or default is None:
            return default
        return Step(method, self.mix) if self.label is None else Step(method, default.usual, {self.label: self.mix})

    def bands(self, method: str, low: float, high: float) -> list[Band]:
        """Return the bands that do it to predictions of a resemblance above `low`, up to `high`."""
        limits = [band.resemblance for band in Recipe.careful(method).bands if low < band.resemblance < high]
        bands = [Band(limit, self.step(method, limit)) for limit in (*limits, high)]
        return bands if bands[0].step != bands[-1].step else bands[-1:]


LEAVE, DEFAULT = Choice(leave=True), Choice()


def choices_of(labels: Sequence[str]) -> list[Choice]:
    """Return all that is tried: to leave the prediction first, then the default."""
    one_label = [Choice(mix, label) for label in labels for mix in MIXES] if len(labels) > 1 else []
    return [LEAVE, DEFAULT, *(Choice(mix) for mix in MIXES), *one_label]
