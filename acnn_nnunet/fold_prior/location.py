"""Where a training finds its prior, and whether that prior may serve it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acnn_nnunet.nnunet.plans import train_command
from acnn_nnunet.shape_prior.prior_file import Prior, PriorSpec

PRIOR_TRAINER = "ShapePriorTrainer"
PRIOR_FILE = "checkpoint_final.pth"


def locate_prior(results: str | Path, plans: Mapping[str, Any], configuration: str, fold: int | str) -> Path:
    """Return the prior of a configuration and fold, or of the nearest configuration that it inherits from.

    Args:
        results: nnUNet_results.
        plans: the plans file's content.
        configuration: name of the configuration that is trained.
        fold: its fold.

    Raises:
        FileNotFoundError: saying what was looked for, where, and the command that makes it.
    """
    dataset, plans_name = plans["dataset_name"], plans["plans_name"]
    lineage = list(_lineage(plans["configurations"], configuration))
    candidates = [
        Path(results) / dataset / f"{PRIOR_TRAINER}__{plans_name}__{name}" / f"fold_{fold}" / PRIOR_FILE
        for name in lineage
    ]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(
        f"No shape prior for {dataset}, configuration {configuration}, fold {fold}: looked for "
        f"{' and '.join(map(str, candidates))}. Train it first with: {prior_command(plans, configuration, fold)}"
    )


def prior_command(plans: Mapping[str, Any], configuration: str, fold: int | str) -> str:
    """Return the command that trains the prior of a configuration; a cascade's second stage has that of 3d_fullres."""
    configurations = plans["configurations"]
    trainable = next(
        (
            name
            for name in _lineage(configurations, configuration)
            if not _resolved(configurations, name, "previous_stage")
        ),
        configuration,
    )
    return train_command(plans["dataset_name"], trainable, fold, PRIOR_TRAINER, plans["plans_name"])


def check_prior_fits(prior: Prior, expected: PriorSpec, *, command: str) -> None:
    """Refuse a prior that does not fit a training.

    Args:
        prior: the prior that was found.
        expected: the specification of the prior that this training would have made.
        command: what trains a fitting one.

    Raises:
        ValueError: naming the file, every mismatch and the remedy.
    """
    if not prior.spec.complete:
        raise ValueError(
            f"The shape prior {prior.path} was saved before its training ended, without the code's statistics: end it "
            f"with --c and take its checkpoint_final.pth, for {expected.dataset}, configuration "
            f"{expected.configuration}, fold {expected.fold} made by: {command}"
        )
    if mismatches := prior.spec.mismatches(expected):
        raise ValueError(
            f"The shape prior {prior.path} does not fit {expected.dataset}, configuration {expected.configuration}, "
            f"fold {expected.fold}: {'; '.join(mismatches)}. Train a fitting one with: {command}"
        )


def check_prior_is_held_out(
    prior: Prior, validation_cases: list[str], *, dataset: str, fold: int | str, command: str
) -> None:
    """Refuse a prior that saw labels of the validation cases, as one of another fold did.

    Raises:
        ValueError: naming the file, its fold, a case and the remedy.
    """
    if prior.spec.dataset != dataset or fold == "all":
        return
    seen = sorted(set(validation_cases) & set(prior.spec.training_cases))
    if seen:
        raise ValueError(
            f"The shape prior {prior.path} was trained on fold {prior.spec.fold} and saw the labels of {len(seen)} "
            f"validation cases of {dataset} fold {fold} (for one {seen[0]}): its scores would be too good. "
            f"Train this fold's prior with: {command}"
        )


def _lineage(configurations: Mapping[str, Any], name: str | None):
    visited: set[str] = set()
    while name is not None and name in configurations and name not in visited:
        visited.add(name)
        yield name
        name = configurations[name].get("inherits_from")


def _resolved(configurations: Mapping[str, Any], name: str, key: str) -> Any:
    return next((configurations[n][key] for n in _lineage(configurations, name) if key in configurations[n]), None)
