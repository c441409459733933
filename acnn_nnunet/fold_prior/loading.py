"""A fold's prior: what it must be, where it lies, and the one way to find, load and check it."""

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from nnunetv2.paths import nnUNet_results
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from acnn_nnunet import __version__
from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.nnunet.plans import inherited, lineage, read_plans, read_splits, train_command
from acnn_nnunet.nnunet.run_folder import read_checkpoint_errors
from acnn_nnunet.nnunet.settings import Settings
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.prior_file import SPEC_KEY, Prior, PriorSpec, load_prior

PRIOR_TRAINER = "ShapePriorTrainer"
PRIOR_FILE = "checkpoint_final.pth"
RECORD_FILE = "acnn_run.json"


def label_space(plans: PlansManager, dataset_json: dict[str, Any]) -> LabelSpace:
    """Return the meaning of the channels of a dataset's segmentations."""
    labels = plans.get_label_manager(dataset_json)
    return LabelSpace(labels.num_segmentation_heads, labels.has_regions, labels.ignore_label)


def channel_names(names: dict[str, Any], labels: LabelSpace) -> dict[int, str]:
    """Return channel to label name, of everything but background and ignored voxels."""
    foreground = [name for name in names if name not in ("background", "ignore")]
    if labels.regions:
        return dict(enumerate(foreground))
    # Where none is a region, the host takes "LV": [1] for 1.
    values = {name: int(value[0] if isinstance(value := names[name], (list, tuple)) else value) for name in foreground}
    return {values[name]: name for name in sorted(foreground, key=lambda name: values[name])}


def describe_prior(plans: PlansManager, configuration: str, dataset_json: dict[str, Any], fold: int | str) -> PriorSpec:
    """Return the specification of the prior that ShapePriorTrainer begins to train for a configuration and fold.

    Its grid has the size and spacing of the configuration's patch: a box is not fitted yet.
    """
    manager = plans.get_configuration(configuration)
    settings = Settings.from_configuration(manager.configuration)
    labels = label_space(plans, dataset_json)
    num_axes = len(manager.patch_size)
    mirroring = settings.plan_mirroring(with_prior=True, num_axes=num_axes, labels=dataset_json["labels"])
    return PriorSpec(
        dataset=plans.dataset_name,
        plans=plans.plans_name,
        configuration=configuration,
        fold=fold,
        labels=dict(dataset_json["labels"]),
        num_channels=labels.num_channels,
        regions=labels.regions,
        ignore_label=labels.ignore_label,
        image_channels=determine_num_input_channels(plans, manager, dataset_json),
        grid=settings.grid,
        grid_size=tuple(int(n) for n in manager.patch_size),
        spacing_mm=tuple(float(s) for s in manager.spacing),
        architecture=settings.architecture,
        code_size=settings.code_size,
        mirroring=len(mirroring.axes) == num_axes if len(mirroring.axes) in (0, num_axes) else mirroring.axes,
        mirrored_labels=mirroring.swaps_in_words,
        mirrored_labels_axis=mirroring.swap_axis,
        rotation_deg=largest_rotation_deg(manager) if settings.rotation_deg is None else settings.rotation_deg,
    )


def largest_rotation_deg(configuration: ConfigurationManager) -> float:
    """Return up to where nnU-Net rotates the patches of a configuration, by itself."""
    host = object.__new__(nnUNetTrainer)  # its constructor writes a log into nnUNet_results
    host.configuration_manager, host.print_to_log_file = configuration, lambda *_, **__: None
    rotation, *_ = host.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    return round(math.degrees(rotation[1]), 3)


def load_fold_prior(
    plans: PlansManager,
    configuration: str,
    dataset_json: dict[str, Any],
    fold: int | str,
    *,
    validation_cases: Collection[str],
    device: torch.device | str,
) -> Prior:
    """Find, load and check the prior that a training of a configuration and fold takes.

    It is the file that the setting `prior` names, or else the fold's own.

    Args:
        plans: of the training.
        configuration: its name.
        dataset_json: of the training's dataset.
        fold: its number, or all.
        validation_cases: of the fold; the prior must not have seen their labels, unless the fold is all.
        device: where the prior's networks go.

    Raises:
        FileNotFoundError: if there is no prior, naming the command that trains it.
        ValueError: if it cannot be read, its training has not ended, it does not fit, or it saw validation labels.
    """
    expected = describe_prior(plans, configuration, dataset_json, fold)
    command = prior_command(plans.plans, configuration, fold)
    where = f"{expected.dataset}, configuration {configuration}, fold {fold}"
    settings = Settings.from_configuration(plans.get_configuration(configuration).configuration)
    path = settings.prior or locate_prior(nnUNet_results.require(), plans.plans, configuration, fold)
    named = (
        f"The setting prior of {configuration} names this file: correct it or take it out. " if settings.prior else ""
    )
    try:
        prior = load_finished_prior(Path(path), device=device)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"{error} {where} needs a prior. {named}Train one with: {command}") from error
    if mismatches := prior.spec.mismatches(expected):
        raise ValueError(
            f"The shape prior {prior.path} does not fit {where}: {'; '.join(mismatches)}. "
            f"{named}Train a fitting one with: {command}"
        )
    seen = sorted(set(validation_cases) & set(prior.spec.training_cases))
    if seen and prior.spec.dataset == expected.dataset and fold != "all":
        raise ValueError(
            f"The shape prior {prior.path} was trained on fold {prior.spec.fold} and saw the labels of {len(seen)} "
            f"validation cases of {expected.dataset} fold {fold} (for one {seen[0]}): its scores would be too good. "
            f"{named}Train this fold's prior with: {command}"
        )
    return prior


def load_finished_prior(path: Path, *, device: torch.device | str = "cpu") -> Prior:
    """Load a prior file whose training has ended.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it cannot be read, or its training has not ended.
    """
    prior = load_prior(path, device=device)
    if not prior.spec.complete:
        raise ValueError(
            f"The shape prior {prior.path} was saved before its training ended, without the code's statistics: end it "
            f"with --c and take its {PRIOR_FILE}."
        )
    return prior


def spec_of_checkpoint(checkpoint: dict | str) -> PriorSpec:
    """Return the specification in a checkpoint of ShapePriorTrainer, given its content or its path.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read.
    """
    if isinstance(checkpoint, dict):
        return PriorSpec.from_plain(checkpoint[SPEC_KEY])
    content = read_checkpoint_errors(checkpoint, lambda: torch.load(checkpoint, map_location="cpu", weights_only=True))
    return PriorSpec.from_plain(content[SPEC_KEY])


def choose_prior(
    prior_file: Path | None, *, dataset: str | None, configuration: str | None, fold: str | None, plans_identifier: str
) -> Path:
    """Return the file that `--prior` names, or the prior of a dataset, configuration and fold.

    Raises:
        ValueError: if neither or both are given, or there is no such dataset or fold.
        FileNotFoundError: if there is no prior or no plans.
    """
    words = {"-d": dataset, "-c": configuration, "-f": fold}
    if prior_file is not None:
        if given := [flag for flag, word in words.items() if word is not None]:
            raise ValueError(f"--prior names the prior: leave out {', '.join(given)}.")
        return prior_file
    if dataset is None or configuration is None or fold is None:
        missing = ", ".join(flag for flag, word in words.items() if word is None)
        raise ValueError(f"Name a prior with --prior, or with -d, -c and -f ({missing} missing).")
    plans, source = read_plans(dataset, plans_identifier, configuration)
    _refuse_unknown_fold(source.parent / "splits_final.json", fold)
    return locate_prior(nnUNet_results.require(), plans, configuration, fold)


def _refuse_unknown_fold(splits_file: Path, fold: str) -> None:
    """Raise ValueError for a fold that a dataset's splits, where they are written, do not have."""
    if fold == "all" or not splits_file.is_file():
        return
    folds = len(read_splits(splits_file))
    if not fold.isdigit() or int(fold) >= folds:
        raise ValueError(f"There is no fold {fold}: {splits_file} has folds 0 to {folds - 1}.")


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
    candidates = [
        Path(results) / dataset / f"{PRIOR_TRAINER}__{plans_name}__{name}" / f"fold_{fold}" / PRIOR_FILE
        for name in lineage(plans["configurations"], configuration)
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
    own = lineage(configurations, configuration)
    trainable = next((name for name in own if not inherited(configurations, name, "previous_stage")), configuration)
    return train_command(plans["dataset_name"], trainable, fold, PRIOR_TRAINER, plans["plans_name"])


def prior_warnings(prior: Prior) -> list[str]:
    """Return a sentence for the labels that a prior never saw, and one for those that it has not learnt."""
    warnings = []
    if prior.spec.absent_labels:
        warnings.append(
            f"WARNING: the shape prior {prior.path} never saw {', '.join(prior.spec.absent_labels)}: "
            f"no training case of its fold has that label, so it knows nothing of its shape."
        )
    if unlearnt := prior.spec.unlearnt_labels:
        named = ", ".join(f"{name} (Dice {dice:.2f})" for name, dice in unlearnt.items())
        warnings.append(
            f"WARNING: the shape prior {prior.path} has not learnt to draw {named} back, and may do more harm than "
            f"good: train it longer (prior_num_epochs); acnn-nnunet prior-report says more."
        )
    return warnings


def refuse_another_prior(prior: Prior, folder: Path) -> None:
    """Raise ValueError if a training that goes on in a folder was begun with another prior."""
    if not (folder / RECORD_FILE).is_file():
        return
    recorded = json.loads((folder / RECORD_FILE).read_text())
    if recorded["prior_sha256"] != prior.sha256:
        raise ValueError(
            f"{folder} was trained with the shape prior {recorded['prior']} "
            f"(sha256 {recorded['prior_sha256'][:12]}…), and --c found {prior.path} "
            f"(sha256 {prior.sha256[:12]}…): bring the first one back, or train anew without --c."
        )


def record_prior(prior: Prior, folder: Path) -> None:
    """Write path and hash of a training's prior into its folder."""
    record = {"prior": str(prior.path), "prior_sha256": prior.sha256, "acnn_nnunet": __version__}
    write_json(folder / RECORD_FILE, record)
