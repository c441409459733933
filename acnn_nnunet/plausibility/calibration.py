"""What scores come to, learnt per structure where the truth is known: `calibration.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from acnn_nnunet.plausibility.estimates import StructureEstimator
from acnn_nnunet.plausibility.novelty import Novelty
from acnn_nnunet.plausibility.table import EMPTY, EXCLUDED, SCORED, Estimate, PlausibilityRow, Structure

FORMAT_VERSION = 4


@dataclass(frozen=True)
class StructureCalibration:
    """How a structure's scores become expectations, and below which it is flagged.

    Attributes:
        estimator: of Dice and Hausdorff distance.
        bad_dice: the structure is bad if its Dice is not above this.
        threshold: it is flagged if its expected Dice is not above this.
        always_there: every calibration reference has it, so that a prediction without it is wrong.
        measured: how well its expectations and intervals do, by fits without the patient that they judge.
    """

    estimator: StructureEstimator
    bad_dice: float
    threshold: float
    always_there: bool
    measured: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Calibration:
    """Plain values, as in `calibration.json`.

    Attributes:
        structures: by label; none for labels with too few calibration cases.
        sources: where scores come from: members, prior, rules.
        level: of the prediction intervals.
        recall: share of the bad cases, and of each bad structure, that the thresholds were chosen to find.
        bad_dice: a case is bad if its mean Dice is not above this.
        threshold: a case is flagged if its plausibility is not above this.
        prior_sha256: hash of the prior that gave scores; empty without one.
        rules: the anatomical rules, as plain dictionaries.
        num_members: whose disagreement gave scores; 0 without members.
        measured: how well the calibration orders its own cases, in cross-validation by patient.
        left_out: by label, why it has no calibration.
        novelty: what is usual among its predictions.
    """

    structures: dict[str, StructureCalibration]
    sources: tuple[str, ...]
    level: float
    recall: float
    bad_dice: float
    threshold: float
    prior_sha256: str = ""
    rules: tuple[dict[str, Any], ...] = ()
    num_members: int = 0
    measured: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    novelty: Novelty = field(default_factory=lambda: Novelty({}, 0.0))
    format_version: int = FORMAT_VERSION

    def judged(self, rows: Sequence[PlausibilityRow]) -> list[PlausibilityRow]:
        """Return rows with expectations, plausibilities and flags."""
        estimated: dict[tuple[str, str], tuple[Estimate, Estimate, dict[str, float]]] = {}
        for name, known in self.structures.items():
            cases = [row for row in rows if row.status == SCORED and name in row.structures]
            scores = [row.scores_for(name) for row in cases]
            found = known.estimator.estimate(scores) if cases else []
            estimated |= {(row.case, name): each for row, each in zip(cases, found, strict=True)}
        novelties = self.novelty.of(rows)
        return [self._judge(row, estimated, each) for row, each in zip(rows, novelties, strict=True)]

    def _judge(
        self, row: PlausibilityRow, estimated: Mapping[tuple[str, str], Any], novelties: Mapping[str, float]
    ) -> PlausibilityRow:
        if row.status == EMPTY:
            return replace(row, plausibility=0.0, flagged=True)
        if row.status == EXCLUDED:
            return row
        structures = dict(row.structures)
        for name, known in self.structures.items():
            structure = structures[name]
            if structure.present:
                dice, hausdorff_mm, shortfall = estimated[row.case, name]
                flagged = dice.value <= known.threshold
                structures[name] = expecting(structure, dice, hausdorff_mm, flagged, shortfall)
            elif known.always_there:  # Dice and distance of a miss are known
                structures[name] = expecting(structure, Estimate(0, 0, 0), Estimate(*[row.diagonal_mm] * 3), True, {})
        return self.with_verdict(replace(row, structures=structures), novelties)

    def with_verdict(self, row: PlausibilityRow, novelties: Mapping[str, float]) -> PlausibilityRow:
        """Return a row with the plausibility, novelty and flags that follow from its structures.

        It is flagged if the mean of their expected Dice is not above the threshold, if it is unusual, or if one is
        missing that is always there. One doubtful structure among sound ones is flagged for itself: to flag the case as
        well would flag most cases where a structure's errors are hard to foresee.
        """
        structures = {name: replace(each, novelty=novelties.get(name)) for name, each in row.structures.items()}
        expected = [each.expected_dice.value for each in structures.values() if each.expected_dice is not None]
        unusual = max(novelties.values(), default=0.0) > self.novelty.limit if novelties else None
        row = replace(row, structures=structures, unusual=unusual)
        if not expected:
            return replace(row, flagged=True) if unusual else row
        plausibility = float(np.mean(expected))
        missing = any(each.flagged and not each.present for each in structures.values())
        return replace(
            row, plausibility=plausibility, flagged=plausibility <= self.threshold or missing or bool(unusual)
        )

    def as_plain(self) -> dict[str, Any]:
        """Return the dictionary that `from_plain` reads."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Any, *, where: str) -> "Calibration":
        """Read the dictionary of a file.

        Raises:
            ValueError: naming the file, if it is no calibration of this version.
        """
        if not isinstance(plain, dict) or "format_version" not in plain:
            raise ValueError(f"{where} is no calibration that acnn-nnunet wrote: make one with --calibrate GT.")
        if plain["format_version"] != FORMAT_VERSION:
            raise ValueError(
                f"{where} was written by another version of acnn-nnunet (format {plain['format_version']} instead of "
                f"{FORMAT_VERSION}): calibrate again with --calibrate GT."
            )
        try:
            structures = {
                name: StructureCalibration(**{**each, "estimator": StructureEstimator.from_plain(each["estimator"])})
                for name, each in plain["structures"].items()
            }
            tuples = {name: tuple(plain[name]) for name in ("sources", "rules")}
            novelty = Novelty.from_plain(plain["novelty"])
            found = cls(**{**plain, "structures": structures, "novelty": novelty, **tuples})
            thresholds = [value for each in structures.values() for value in (each.threshold, each.bad_dice)]
            thresholds.append(found.threshold)
            if not structures or not np.isfinite(thresholds).all():
                raise ValueError("its numbers do not fit together")
        except (AttributeError, TypeError, KeyError, ValueError) as error:
            raise ValueError(f"The calibration {where} is damaged ({error}): make it again with --calibrate.") from None
        return found


def expecting(
    structure: Structure, dice: Estimate, hausdorff_mm: Estimate, flagged: bool, shortfall: dict[str, float]
) -> Structure:
    """Return a structure with what is expected of it."""
    return replace(
        structure,
        expected_dice=dice,
        expected_hausdorff_mm=hausdorff_mm,
        flagged=flagged,
        shortfall=shortfall,
    )
