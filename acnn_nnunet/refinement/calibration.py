"""What a fold's validation predictions say about refining: which predictions, by which method, and how much.

A prediction falls into one of three bands of resemblance with its reconstruction. Among the fold's validation
predictions hardly one is bad, so that each is also spoilt in the ways that bad images spoil predictions: the copies
tell what to do where the resemblance is lower than it is on clean images. In each band the careful default stays,
unless another method or mix, for all labels or for one, has gained more for sure. Where nothing gains, predictions are
left alone. What is chosen was tried as it is: no combination is guessed.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from acnn_nnunet.refinement.choices import DEFAULT, LEAVE, Choice, choices_of
from acnn_nnunet.refinement.recipe import Band, Mix, Recipe, Step

FORMAT_VERSION = 1
MIN_CASES = 10
_FOLDS = 5
_BAND_QUANTILES = (0.02, 0.25)
"""Of the clean cases' resemblances: below the first a prediction is unusual, between the two it is doubtful."""
_HAUSDORFF_SHARE = 0.05
"""What halving the Hausdorff distance is worth, in Dice, is half of this."""
_REAL_PATIENTS = 3
"""With so many, the clean predictions of a band decide alone."""
_STANDARD_ERRORS = 2.0
"""What an alternative gains beyond the default counts less this many standard errors over patients."""


@dataclass(frozen=True)
class Trial:
    """What each method and choice makes of one prediction.

    Attributes:
        unit: patient, or case where there are none.
        spoilt: whether it is a spoilt copy.
        resemblance: with its reconstruction, a Dice.
        dice: (labels, methods, choices) true Dice; the first choice is the prediction itself. NaN where a label is
            neither true nor found.
        hausdorff_mm: in the same order.
    """

    unit: str
    spoilt: bool
    resemblance: float
    dice: np.ndarray
    hausdorff_mm: np.ndarray

    @property
    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Dice and Hausdorff distance: where some invent a label, those that rightly leave it out are perfect."""
        right = np.isnan(self.dice) & np.isfinite(self.dice).any(axis=(1, 2), keepdims=True)
        return np.where(right, 1.0, self.dice), np.where(right, 0.0, self.hausdorff_mm)

    @property
    def gains(self) -> np.ndarray:
        """(labels, methods, choices): Dice gained, and a share of the Hausdorff distance that is taken off."""
        dice, hausdorff_mm = self.scores
        before = hausdorff_mm[..., :1]
        shorter = np.clip((before - hausdorff_mm) / np.maximum(before, 1e-6), -1, 1)
        return dice - dice[..., :1] + _HAUSDORFF_SHARE * shorter


@dataclass(frozen=True)
class Calibration:
    """A recipe and how it was found; plain values, as in `refinement.json`.

    Attributes:
        recipe: what is done to which prediction.
        prior_sha256: hash of the prior that proposes the anatomies.
        methods: that were tried.
        measured: what it gains on the cases that it was made from, in cross-validation by patient.
    """

    recipe: Recipe
    prior_sha256: str
    methods: tuple[str, ...]
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """What it gains, in cross-validation by patient, in one sentence."""
        told = [
            f"{name}: {of['refined']} of {of['predictions']} refined, Dice {of['dice_gain']:+.4f}, Hausdorff "
            f"{100 * of['hausdorff_change']:+.0f} %"
            for name in ("clean", "spoilt")
            if (of := self.measured[name])["predictions"]
        ]
        return f"cross-validated by patient on {self.measured['cases']} predictions; {'; '.join(told)}"

    def as_plain(self) -> dict[str, Any]:
        """Return the dictionary that `from_plain` reads."""
        return {**asdict(self), "format_version": FORMAT_VERSION}

    @classmethod
    def from_plain(cls, plain: Any, *, where: str) -> "Calibration":
        """Read the dictionary of a file.

        Raises:
            ValueError: naming the file, if it is no calibration of this version.
        """
        try:
            if plain["format_version"] != FORMAT_VERSION:
                raise ValueError(f"its format version is {plain['format_version']}")
            bands = tuple(
                Band(float(band["resemblance"]), None if band["step"] is None else _step_of_plain(band["step"]))
                for band in plain["recipe"]["bands"]
            )
            if not bands:
                raise ValueError("it has no bands")
            return cls(Recipe(bands), str(plain["prior_sha256"]), tuple(plain["methods"]), dict(plain["measured"]))
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(
                f"{where} is no calibration that this acnn-nnunet refine wrote ({error}): make one with --calibrate GT."
            ) from None


def calibrate(
    trials: Sequence[Trial], *, labels: Sequence[str], methods: Sequence[str], prior_sha256: str
) -> Calibration:
    """Choose a recipe, and measure what it gains on patients that it has not seen.

    Raises:
        ValueError: for fewer than ten clean predictions or two patients.
    """
    clean = [trial for trial in trials if not trial.spoilt]
    units = sorted({trial.unit for trial in clean})
    if len(clean) < MIN_CASES or len(units) < 2:
        raise ValueError(
            f"A calibration needs {MIN_CASES} predictions with ground truth, of two patients at least; there are "
            f"{len(clean)} of {len(units)}."
        )
    known = set(units)
    # A spoilt copy may fit a prior's grid where the whole does not.
    trials = [trial for trial in trials if trial.unit in known]
    order = np.random.default_rng(0).permutation(len(units))
    part_of = {units[index]: place % min(_FOLDS, len(units)) for place, index in enumerate(order)}
    results = []
    for part in sorted(set(part_of.values())):
        chosen = choose_recipe([t for t in trials if part_of[t.unit] != part], labels=labels, methods=methods)
        held_out = [trial for trial in trials if part_of[trial.unit] == part]
        results += [(trial, *outcome_of_recipe(trial, chosen, labels=labels, methods=methods)) for trial in held_out]
    recipe = choose_recipe(trials, labels=labels, methods=methods)
    measured: dict[str, Any] = {"cases": len(clean), "patients": len(units)}
    for name, spoilt in (("clean", False), ("spoilt", True)):
        measured[name] = _measure([result for result in results if result[0].spoilt == spoilt])
    return Calibration(recipe, prior_sha256, tuple(methods), measured)


def choose_recipe(trials: Sequence[Trial], *, labels: Sequence[str], methods: Sequence[str]) -> Recipe:
    """Return the bands of resemblance and the best choice in each of them."""
    clean = np.array([trial.resemblance for trial in trials if not trial.spoilt])
    limits = [*np.quantile(clean, _BAND_QUANTILES).tolist(), 1.0]
    bands: list[Band] = []
    low = -np.inf
    for limit in limits:
        inside = [trial for trial in trials if low < trial.resemblance <= limit]
        real = [trial for trial in inside if not trial.spoilt]
        if len({trial.unit for trial in real}) >= _REAL_PATIENTS:
            inside = real  # what a clean prediction costs or gains, no spoilt copy can say
        method, choice = _best(inside, labels=labels, methods=methods)
        bands += choice.bands(method, low, limit)
        low = limit
    return Recipe(tuple(bands))


def outcome_of_recipe(
    trial: Trial, recipe: Recipe, *, labels: Sequence[str], methods: Sequence[str]
) -> tuple[float, float, bool]:
    """Return the change of the mean Dice and of the mean Hausdorff distance of a trial, and whether it is refined."""
    step = recipe.step_for({"resemblance": trial.resemblance})
    if step is None:
        return 0.0, 0.0, False
    method = list(methods).index(step.method)
    tried = [choice.step(step.method, trial.resemblance) for choice in choices_of(labels)].index(step)
    dice, hausdorff = (float(np.nanmean(values[:, method, tried] - values[:, method, 0])) for values in trial.scores)
    return dice, hausdorff, True


def _best(trials: Sequence[Trial], *, labels: Sequence[str], methods: Sequence[str]) -> tuple[str, Choice]:
    """Return the method and choice that gain most: the default of the first method unless another is surely better."""
    choices = choices_of(labels)
    if not trials:
        return methods[0], DEFAULT
    gains = np.stack([np.nanmean(trial.gains, axis=0) for trial in trials])  # (trials, methods, choices)
    units = np.unique([trial.unit for trial in trials], return_inverse=True)[1]
    per_unit = np.stack([gains[units == unit].mean(axis=0) for unit in range(units.max() + 1)])
    beyond = per_unit - per_unit[:, :1, choices.index(DEFAULT)][..., None]
    error = beyond.std(axis=0, ddof=1) / len(per_unit) ** 0.5 if len(per_unit) > 1 else np.inf
    sure = beyond.mean(axis=0) - _STANDARD_ERRORS * error
    sure = np.where(np.isfinite(sure), sure, -np.inf)
    sure[0, choices.index(DEFAULT)] = 0.0
    method, choice = (int(index) for index in np.unravel_index(int(sure.argmax()), sure.shape))
    gain = per_unit.mean(axis=0)[method, choice]
    return methods[method], choices[choice] if gain > 0 else LEAVE


def _measure(results: Sequence[tuple[Trial, float, float, bool]]) -> dict[str, float | int]:
    if not results:
        return {"predictions": 0}
    dice, hausdorff = (np.array([result[index] for result in results]) for index in (1, 2))
    before = np.mean([np.nanmean(result[0].scores[1][:, 0, 0]) for result in results])
    return {
        "predictions": len(results),
        "refined": sum(result[3] for result in results),
        "dice_gain": float(dice.mean()),
        "hausdorff_change_mm": float(hausdorff.mean()),
        "hausdorff_change": float(hausdorff.mean() / before) if before else 0.0,
    }


def _step_of_plain(plain: dict[str, Any]) -> Step:
    mixes = {str(name): Mix(float(mix["thin"]), bool(mix["thick"])) for name, mix in plain["mixes"].items()}
    return Step(str(plain["method"]), Mix(**plain["usual"]), mixes)
