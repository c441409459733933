"""The targets of the study, and whether they are reached: computed from the scores, never written by hand."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scripts.studies.defaults.arms import CLEAN, MIRRORED_PREDICTION, STUDY_KINDS, TORCHIO_KINDS
from scripts.studies.defaults.differences import Difference

SEEDS = 4  # that a verdict needs
Kinds = tuple[str, ...]
DICE, HAUSDORFF = "dice", "hausdorff_mm"


@dataclass(frozen=True)
class Target:
    """One line of the issue's table.

    Attributes:
        measure: in words.
        arms: the arm, or several, of which the selection cases choose one.
        baseline: its baseline.
        kinds: of test images.
        score: column.
        bounds: dataset to bound.
        value: of a difference: what is held against the bound.
        above: whether the value must be above the bound, or below.
        sure: the interval must exclude 0 as well.
    """

    measure: str
    arms: tuple[str, ...]
    baseline: str
    kinds: Kinds
    score: str
    bounds: dict[str, float]
    value: Callable[[Difference], float]
    above: bool
    sure: bool = False

    def verdict(self, dataset: str, found: Difference) -> str:
        """Return "reached" or "missed", with the number of seeds where it is below four."""
        value, bound = self.value(found), self.bounds[dataset]
        reached = value >= bound if self.above else value <= bound
        if self.sure:
            low, high = found.interval
            reached = reached and (low > 0 or high < 0)
        seeds = len(found.seeds)
        few = "" if seeds >= SEEDS else f" ({seeds} of {SEEDS} seeds)"
        return f"{'reached' if reached else 'missed'}{few}"


def mean(found: Difference) -> float:
    """Return the mean difference."""
    return found.mean


def share(found: Difference) -> float:
    """Return the difference over the baseline's mean."""
    return found.share


def low(found: Difference) -> float:
    """Return the lower end of the difference's interval."""
    return found.interval[0]


def high_share(found: Difference) -> float:
    """Return the upper end of the share's interval."""
    return found.share_interval[1]


def _both(bound: float) -> dict[str, float]:
    return {"hippocampus": bound, "acdc": bound}


# What the rule of `arms.py` leaves as defaults, which is no mirroring and the prior; and the same with hidden parts.
NEW_DEFAULTS = {
    "new defaults": ("roi_0.3_decoded_unmirrored",),
    "with hidden_parts=0.5": ("roi_0.3_decoded_unmirrored_hidden", "none_unmirrored_hidden"),
}
STOCK = "none"
STOCKS = {"stock": STOCK, "stock that mirrors in prediction": MIRRORED_PREDICTION}
PER_CLASS = "none_pc_unmirrored"


def _over_no_prior(
    words: str, arms: tuple[str, ...], *, dice: dict[str, float], hausdorff: float, sure: bool = False
) -> Iterator[Target]:
    """Yield the targets of a prior under the paper's loss: Dice and Hausdorff distance, clean and corrupted."""
    for name, kinds in (("clean", (CLEAN,)), ("study's kinds", STUDY_KINDS)):
        measure, of = f"{words} − none, {name}", (arms, PER_CLASS, kinds)
        yield Target(f"{measure}: Dice", *of, DICE, dice, mean, True, sure)
        yield Target(f"{measure}: Hausdorff", *of, HAUSDORFF, _both(hausdorff), share, False, sure)


TARGETS: tuple[Target, ...] = (
    *_over_no_prior(
        "paper's loss, best prior",
        ("hybrid_pc_1.0_outside_unmirrored", "hybrid_pc_outside_unmirrored", "hybrid_pc_unmirrored"),
        dice={"hippocampus": 0.08, "acdc": 0.03},
        hausdorff=-0.2,
        sure=True,
    ),
    *_over_no_prior("the paper's own prior", ("paper_unmirrored",), dice=_both(0.03), hausdorff=0.0),
    *_over_no_prior(
        "the paper's own prior, by a gradient ratio of 0.1",
        ("paper_ratio_0.1_unmirrored",),
        dice=_both(0.03),
        hausdorff=0.0,
    ),
    *(
        target
        for name, arms in NEW_DEFAULTS.items()
        for stock, baseline in STOCKS.items()
        for target in (
            Target(
                f"{name} − {stock}, study's kinds: Hausdorff",
                *(arms, baseline, STUDY_KINDS, HAUSDORFF, {"hippocampus": -0.4, "acdc": -0.25}, share, False),
            ),
            Target(
                f"{name} − {stock}, TorchIO's kinds: Hausdorff",
                *(arms, baseline, TORCHIO_KINDS, HAUSDORFF, _both(-0.25), share, False),
            ),
            Target(
                f"{name} − {stock}, TorchIO's kinds: Dice",
                *(arms, baseline, TORCHIO_KINDS, DICE, _both(0.015), mean, True),
            ),
            Target(
                f"{name} − {stock}, clean: Dice, interval's lower end",
                *(arms, baseline, (CLEAN,), DICE, _both(-0.002), low, True),
            ),
            Target(
                f"{name} − {stock}, clean: Hausdorff, interval's upper end",
                *(arms, baseline, (CLEAN,), HAUSDORFF, _both(0.02), high_share, False),
            ),
        )
    ),
)
