"""How much of the anatomy comes into a prediction, and when: the careful default, or what a calibration found."""

from collections.abc import Mapping
from dataclasses import dataclass, field

USUAL_RESEMBLANCE = 0.87
"""Dice of a prediction and its reconstruction from which on it passes for usual, where no calibration knows better."""

USUAL_SHARE, UNUSUAL_SHARE = 0.25, 0.75
"""Of thin changes: below one half, a boundary moves only where the anatomy is surer than the prediction."""


@dataclass(frozen=True)
class Mix:
    """What is taken over of an anatomy for one label.

    Attributes:
        thin: share of the changes, 0 to 1.
        thick: whether thick changes are taken over whole.
    """

    thin: float = 0.0
    thick: bool = False

    @property
    def does_nothing(self) -> bool:
        """Whether the label stays."""
        return self.thin == 0 and not self.thick

    def __str__(self) -> str:
        return "nothing" if self.does_nothing else f"{self.thin:g} of the changes{', thick ones whole' * self.thick}"


@dataclass(frozen=True)
class Step:
    """What is done to a prediction.

    Attributes:
        method: whose anatomy is mixed in.
        usual: for labels without an entry.
        mixes: by label name.
    """

    method: str
    usual: Mix = field(default_factory=Mix)
    mixes: Mapping[str, Mix] = field(default_factory=dict)

    @property
    def mends(self) -> bool:
        """Whether thick changes of any label are taken over."""
        return any(mix.thick for mix in (self.usual, *self.mixes.values()))

    def mix_of(self, label: str) -> Mix:
        """Return what is taken over for a label."""
        return self.mixes.get(label, self.usual)


@dataclass(frozen=True)
class Band:
    """The predictions that resemble their reconstruction up to a limit, and what is done to them.

    Attributes:
        resemblance: the largest that is in the band, a Dice.
        step: what is done; None leaves them.
    """

    resemblance: float
    step: Step | None


@dataclass(frozen=True)
class Recipe:
    """What is done to which prediction: the first band that its resemblance is in decides.

    Attributes:
        bands: by rising resemblance; the last one takes all.
    """

    bands: tuple[Band, ...]

    @classmethod
    def careful(cls, method: str) -> "Recipe":
        """Return the recipe without a calibration: thick changes only where a prediction is unusual."""
        unusual = Step(method, Mix(UNUSUAL_SHARE, thick=True))
        return cls((Band(USUAL_RESEMBLANCE, unusual), Band(1.0, Step(method, Mix(USUAL_SHARE)))))

    def step_for(self, measures: Mapping[str, float]) -> Step | None:
        """Return what is done to a prediction with these measures, None for nothing."""
        resemblance = measures["resemblance"]
        return next((band.step for band in self.bands if resemblance <= band.resemblance), self.bands[-1].step)
