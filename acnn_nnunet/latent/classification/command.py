"""`acnn-nnunet classify`: reads the tables, classifies, writes the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acnn_nnunet.evaluation.clinical.indices import REFERENCE
from acnn_nnunet.evaluation.comparison.scores import parse_arms
from acnn_nnunet.files.patients import read_groups
from acnn_nnunet.files.safe_writes import refuse_file
from acnn_nnunet.latent.classification.arms import CODES, VOLUMES
from acnn_nnunet.latent.classification.cohort import read_twins
from acnn_nnunet.latent.classification.features import read_fold_codes, read_hand_made
from acnn_nnunet.latent.classification.folds import read_fixed_splits
from acnn_nnunet.latent.classification.measures import NUM_FOLDS, NUM_RUNS, classify
from acnn_nnunet.latent.classification.page import write_classification

PCA = "pca"


@dataclass(frozen=True)
class ClassificationOptions:
    """How patients are classified.

    Attributes:
        classes: the groups; None for all.
        splits: splits_final.json of the priors, for the strict arm.
        num_folds: of a run without splits, at least 2.
        num_runs: of each arm, at least 1.
        arms: `NAME=CODES` words, further codes of the same cases.
        clinical: table of hand-made features.
        side: of clinical.csv, reference or prediction.
        pca: folder of label maps, for an arm of PCA fitted to the training patients.
        prior: the prior whose grid PCA works on, with {fold} in its path where there are splits.
        align: lay the label maps of `pca` as the prior's mean shape lies.
    """

    classes: Sequence[str] | None = None
    splits: Path | None = None
    num_folds: int = NUM_FOLDS
    num_runs: int = NUM_RUNS
    arms: Sequence[str] = ()
    clinical: Path | None = None
    side: str = REFERENCE
    pca: Path | None = None
    prior: str | None = None
    align: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that are too small and options that do not go together."""
        if self.num_folds < 2 or self.num_runs < 1:
            got = f"got --folds {self.num_folds} and --runs {self.num_runs}"
            raise ValueError(f"At least 2 folds and 1 run are needed, {got}.")
        if (self.pca is None) != (self.prior is None):
            raise ValueError("--pca LABELS and --prior go together: the label maps are laid on the prior's grid.")
        if self.align and self.pca is None:
            raise ValueError("--align is about the label maps of --pca: align codes when `codes` makes them.")


def run_classification(codes: Path, groups: Path, output: Path, options: ClassificationOptions) -> str:
    """Classify patients and write JSON, page and predictions; return what to print.

    Args:
        codes: a table of codes, or a folder with one for each fold.
        groups: groups.csv; `conversion_report.json` beside it says which patients are the same person.
        output: folder to write.
        options: how.

    Raises:
        ValueError, FileNotFoundError: naming the file or setting that is wrong.
        OSError: if the output cannot be written.
    """
    refuse_file(output)
    arms = {CODES: codes, **_further_arms(options.arms, has_pca=options.pca is not None)}
    rows = read_groups(groups)
    splits = None if options.splits is None else read_fixed_splits(options.splits)
    tables = {name: read_fold_codes(path) for name, path in arms.items()}
    hand_made = None if options.clinical is None else read_hand_made(options.clinical, side=options.side)
    if options.pca is not None and options.prior is not None:
        from acnn_nnunet.latent.codes.pca import encode_by_pca  # loads torch

        tables[PCA] = encode_by_pca(options.pca, options.prior, splits=splits, groups=rows, align=options.align)
    result = classify(
        tables,
        rows,
        classes=options.classes,
        twins=read_twins(groups),
        hand_made=hand_made,
        splits=splits,
        num_folds=options.num_folds,
        num_runs=options.num_runs,
    )
    return write_classification(result, output)


def _further_arms(words: Sequence[str], *, has_pca: bool) -> dict[str, Path]:
    named, others = parse_arms(words), (CODES, VOLUMES, f"{CODES}+{VOLUMES}", *([PCA] if has_pca else []))
    if taken := next((name for name in named if name in others), None):
        raise ValueError(f"--arm {taken}=… has the name of another arm: choose another one.")
    return named
