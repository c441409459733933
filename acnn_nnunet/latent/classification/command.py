"""`acnn-nnunet classify`: reads the tables, classifies, writes the report."""

from collections.abc import Sequence
from pathlib import Path

from acnn_nnunet.evaluation.clinical.indices import REFERENCE
from acnn_nnunet.evaluation.comparison.scores import parse_arms
from acnn_nnunet.files.patients import read_groups
from acnn_nnunet.files.safe_writes import refuse_file
from acnn_nnunet.latent.classification.classification import (
    CODES,
    NUM_FOLDS,
    NUM_RUNS,
    VOLUMES,
    classify,
    read_twins,
)
from acnn_nnunet.latent.classification.fold_codes import read_fold_codes
from acnn_nnunet.latent.classification.folds import read_splits
from acnn_nnunet.latent.classification.hand_made import read_hand_made
from acnn_nnunet.latent.classification.page import write_classification

PCA = "pca"


def run_classification(
    codes: Path,
    groups: Path,
    output: Path,
    *,
    classes: Sequence[str] | None = None,
    splits: Path | None = None,
    num_folds: int = NUM_FOLDS,
    num_runs: int = NUM_RUNS,
    arms: Sequence[str] = (),
    clinical: Path | None = None,
    side: str = REFERENCE,
    pca: Path | None = None,
    prior: str | None = None,
    align: bool = False,
) -> str:
    """Classify patients and write JSON, page and predictions; return what to print.

    Args:
        codes: a table of codes, or a folder with one for each fold.
        groups: groups.csv; `conversion_report.json` beside it says which patients are the same person.
        output: folder to write.
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

    Raises:
        ValueError, FileNotFoundError: naming the file or setting that is wrong.
        OSError: if the output cannot be written.
    """
    refuse_file(output)
    if num_folds < 2 or num_runs < 1:
        raise ValueError(f"At least 2 folds and 1 run are needed, got --folds {num_folds} and --runs {num_runs}.")
    if (pca is None) != (prior is None):
        raise ValueError("--pca LABELS and --prior go together: the label maps are laid on the prior's grid.")
    if align and pca is None:
        raise ValueError("--align is about the label maps of --pca: align codes when `codes` makes them.")
    named = parse_arms(arms)
    if taken := next((name for name in named if name in (CODES, PCA, VOLUMES, f"{CODES}+{VOLUMES}")), None):
        raise ValueError(f"--arm {taken}=… has the name of another arm: choose another one.")
    rows = read_groups(groups)
    fixed = None if splits is None else read_splits(splits)
    tables = {CODES: read_fold_codes(codes), **{name: read_fold_codes(path) for name, path in named.items()}}
    hand_made = None if clinical is None else read_hand_made(clinical, side=side)
    if pca is not None and prior is not None:
        from acnn_nnunet.latent.codes.pca import encode_by_pca

        tables[PCA] = encode_by_pca(pca, prior, splits=fixed, groups=rows, align=align)
    result = classify(
        tables,
        rows,
        classes=classes,
        twins=read_twins(groups),
        hand_made=hand_made,
        splits=fixed,
        num_folds=num_folds,
        num_runs=num_runs,
    )
    return write_classification(result, output)
