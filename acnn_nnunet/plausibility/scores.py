"""Everything that is measured of one prediction: by its ensemble's members, the prior, the rules, and the reference."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acnn_nnunet.evaluation.anatomy.rules import RuleCheck, check_rules
from acnn_nnunet.evaluation.masks.case_scores import score_case
from acnn_nnunet.evaluation.masks.scores import MISSED, OK
from acnn_nnunet.nnunet.label_files import LabelMap
from acnn_nnunet.plausibility.members import MEMBERS_DICE, MEMBERS_DISTANCE, disagreement
from acnn_nnunet.plausibility.size import THINNESS, VOLUME, size_of
from acnn_nnunet.plausibility.slices import ALONE, MEMBER, ComparedMaps, KeptSlice
from acnn_nnunet.plausibility.subject import Subject
from acnn_nnunet.plausibility.table import EMPTY, SCORED, PlausibilityRow, Structure

if TYPE_CHECKING:
    from acnn_nnunet.plausibility.prior_scores import PriorScorer

RULE_VIOLATION, MAHALANOBIS = "rule_violation", "mahalanobis"
_TOLERANCE_MM = 1.0  # of a surface Dice that nobody reads
_GROUPS = {
    "members": (MEMBERS_DICE, MEMBERS_DISTANCE),
    "prior": ("reconstruction_dice", "reconstruction_distance_mm", THINNESS, MAHALANOBIS),
    "rules": (RULE_VIOLATION,),
}
"""Which scores come from where. Thinness helps the prior's, and makes the members' alone no better."""


@dataclass(frozen=True)
class Prediction:
    """The files of a prediction.

    Attributes:
        case: file name without ending.
        label: its label map.
        members: label maps of the ensemble's members.
        images: one file or more, channels in order; none where no images are shown.
        reference: ground truth, or None.
    """

    case: str
    label: Path
    members: tuple[Path, ...] = ()
    images: tuple[Path, ...] = ()
    reference: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All of them."""
        return [self.label, *self.members, *self.images, *([] if self.reference is None else [self.reference])]


@dataclass(frozen=True)
class Scorer:
    """Scores predictions with what there is.

    Attributes:
        subject: labels, rules and reader.
        prior: the shape prior, or None.
        num_members: of the ensemble whose members' predictions come along; 0 where none do.
    """

    subject: Subject
    prior: "PriorScorer | None" = None
    num_members: int = 0

    @property
    def sources(self) -> tuple[str, ...]:
        """Where scores come from: members, prior, rules."""
        present = {"members": self.num_members > 0, "prior": self.prior is not None, "rules": bool(self.subject.rules)}
        return tuple(name for name, there in present.items() if there)

    @property
    def structure_scores(self) -> tuple[str, ...]:
        """Names of the scores of each structure that say how good it is."""
        names = [name for source in self.sources for name in _GROUPS[source]]
        return tuple(name for name in names if name != MAHALANOBIS)

    @property
    def structure_columns(self) -> tuple[str, ...]:
        """Names of everything that is measured of each structure."""
        return (*self.structure_scores, VOLUME)

    @property
    def case_scores(self) -> tuple[str, ...]:
        """Names of the scores of the whole case."""
        return (MAHALANOBIS,) if self.prior is not None else ()

    def score(self, files: Prediction) -> tuple[PlausibilityRow, KeptSlice | None]:
        """Score a prediction, against its reference too if there is one; return its row and a slice to draw.

        Raises:
            FileNotFoundError, ValueError: naming the file that is missing or cannot be used.
        """
        prediction = self.subject.read(files.label)
        diagonal_mm = prediction.geometry.diagonal_mm
        row = PlausibilityRow(files.case, SCORED, self._structures(prediction), diagonal_mm=diagonal_mm)
        if files.reference is not None:
            row = self._with_truth(row, prediction, self.subject.read(files.reference))
        if missing := next((file for file in files.images if not file.is_file()), None):
            raise FileNotFoundError(f"{missing.parent} holds no image {missing.name}")
        checks = self._checked(prediction)
        row, kept = self._with_rules(row, checks), None
        if self.prior is not None:
            row, kept = self._with_prior(self.prior, row, prediction, files)
        if not any(each.present for each in row.structures.values()):
            row = replace(row, status=EMPTY)
        if self.num_members:
            members = self._members(files, prediction)
            alone = {MEMBERS_DICE: 0.0, MEMBERS_DISTANCE: diagonal_mm}  # no member has what the prediction has
            row = _with_scores(row, {name: alone for name, each in row.structures.items() if each.present})
            row = _with_scores(row, disagreement(members, self.subject.label_values))
            kept = self._compared_members(prediction, members, files.images).slice()
        elif self.prior is None and row.status != EMPTY:
            kept = self._alone(prediction, checks, files.images).slice()
        plausibility = 0.0 if row.status == EMPTY else None
        return replace(row, plausibility=plausibility, slice_number=None if kept is None else kept.number), kept

    def compare(self, files: Prediction) -> ComparedMaps | None:
        """Return a prediction with the member that differs most from it, with its reconstruction, or alone.

        None for an empty prediction that no member is there for.

        Raises:
            FileNotFoundError, ValueError: as `score` does.
        """
        prediction = self.subject.read(files.label)
        if self.num_members:
            return self._compared_members(prediction, self._members(files, prediction), files.images)
        if self.prior is None:
            held = any(box is not None for box in prediction.boxes)
            return self._alone(prediction, self._checked(prediction), files.images) if held else None
        return self.prior.compared(self.prior.score(prediction, image_files=files.images))

    def _with_prior(
        self, prior: "PriorScorer", row: PlausibilityRow, prediction: LabelMap, files: Prediction
    ) -> tuple[PlausibilityRow, KeptSlice | None]:
        found = drawn = prior.score(prediction)
        if files.images and not self.num_members:  # members' pictures are on the file's own grid
            # For the picture alone: preprocessing crops an image to what is not 0, and with it what the prior sees.
            drawn = prior.score(prediction, image_files=files.images)
        scores = {} if found.mahalanobis is None else {MAHALANOBIS: found.mahalanobis}
        status = EMPTY if found.empty else SCORED
        row = replace(row, status=status, scores=scores, outside_share=found.outside_share)
        return _with_scores(row, found.structures), prior.slice_of(drawn, prediction)

    def _structures(self, prediction: LabelMap) -> dict[str, Structure]:
        sizes = size_of(prediction, self.subject.label_values)
        return {name: Structure(name in sizes, sizes.get(name, {})) for name in self.subject.names}

    def _with_truth(self, row: PlausibilityRow, prediction: LabelMap, reference: LabelMap) -> PlausibilityRow:
        """Return the row with true scores; a label that only one of the maps has, has Dice 0 and the diagonal."""
        if differences := prediction.geometry.differences(reference.geometry):
            raise ValueError(f"it is not on its reference's grid: {'; '.join(differences)} (prediction, reference)")
        labels = tuple(self.subject.label_values.values())
        scored = score_case(reference, prediction, labels, ignore=self.subject.ignore, tolerance_mm=_TOLERANCE_MM)
        structures, applicable = {}, []
        for (name, each), (truth, _) in zip(row.structures.items(), scored, strict=True):
            there = truth.status in (OK, MISSED)
            structures[name] = replace(each, in_reference=there, dice=truth.dice, hausdorff_mm=truth.hausdorff_mm)
            applicable += [truth] if truth.dice is not None else []
        if not applicable:
            raise ValueError("neither it nor its reference holds a label")
        dice, hausdorff_mm = (float(np.mean([getattr(s, key) for s in applicable])) for key in ("dice", "hausdorff_mm"))
        return replace(row, structures=structures, dice=dice, hausdorff_mm=hausdorff_mm)

    def _checked(self, prediction: LabelMap) -> list[RuleCheck]:
        return check_rules(
            prediction.values,
            self.subject.rules,
            label_values=self.subject.label_values,
            spacing_mm=prediction.geometry.spacing_mm,
            left_mm=prediction.geometry.left_mm,
        )

    def _with_rules(self, row: PlausibilityRow, checks: Sequence[RuleCheck]) -> PlausibilityRow:
        subject = self.subject
        if not subject.rules:
            return row
        violations = {check.rule.name: check.violation for check in checks}
        broken = {
            name: sum(violations[rule.name] or 0.0 for rule in subject.rules_about(name)) for name in subject.names
        }
        row = replace(row, violations=violations)
        return _with_scores(row, {name: {RULE_VIOLATION: value} for name, value in broken.items()})

    def _members(self, files: Prediction, prediction: LabelMap) -> list[LabelMap]:
        """Read a case's members.

        Raises:
            FileNotFoundError, ValueError: naming the member that is missing, damaged or on another grid.
        """
        members = []
        for file in files.members:
            if not file.is_file():
                raise FileNotFoundError(f"the member {file.parent} holds no {file.name}")
            member = self.subject.read(file)
            if differences := member.geometry.differences(prediction.geometry):
                raise ValueError(
                    f"the member {file} lies on another grid than the prediction: {'; '.join(differences)}"
                )
            members.append(member)
        return members

    def _compared_members(
        self, prediction: LabelMap, members: Sequence[LabelMap], image_files: Sequence[Path]
    ) -> ComparedMaps:
        """Return the prediction and the member that differs most from it."""
        differing = [int(np.count_nonzero(prediction.values != each.values)) for each in members]
        other = members[int(np.argmax(differing))]
        return ComparedMaps(prediction.values, other.values, *self._ground(prediction, image_files), MEMBER)

    def _alone(self, prediction: LabelMap, checks: Sequence[RuleCheck], image_files: Sequence[Path]) -> ComparedMaps:
        """Return the prediction with the slice that breaks most rules."""
        broken = Counter(index for check in checks for index in check.slices)
        number = max(broken, key=lambda index: (broken[index], -index), default=None)
        return ComparedMaps(prediction.values, None, *self._ground(prediction, image_files), ALONE, number)

    def _ground(
        self, prediction: LabelMap, image_files: Sequence[Path]
    ) -> tuple[Sequence[float], np.ndarray | None, dict[int, str]]:
        """Return voxel size, image, if there is one, and names of the labels."""
        image = None
        if image_files:
            image = self.subject.reader.read_image(image_files[0])[0][0]
            if image.size != prediction.values.size:
                raise ValueError(f"{image_files[0]} is of another size than the prediction")
            image = image.reshape(prediction.values.shape)
        names = {value: name for name, values in self.subject.label_values.items() for value in values[:1]}
        return prediction.geometry.spacing_mm, image, names


def scores_of(source: str) -> tuple[str, ...]:
    """Return the names of the scores that come from members, prior or rules."""
    return _GROUPS[source]


def _with_scores(row: PlausibilityRow, scores: dict[str, dict[str, Any]]) -> PlausibilityRow:
    structures = {
        name: replace(each, scores={**each.scores, **scores.get(name, {})}) for name, each in row.structures.items()
    }
    return replace(row, structures=structures)
