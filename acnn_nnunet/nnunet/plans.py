"""How the host's commands name datasets, and where the plans of one lie."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

from acnn_nnunet.files.safe_writes import read_text

HR_KEY = "acnn_hr"
"""Entry of a configuration that plan-hr made: `{"factor": K, "axis": through-plane axis}`."""


def dataset_id(name: str) -> int:
    """Return 4 for "Dataset004_Hippocampus"."""
    return int(name[len("Dataset") :].split("_")[0])


def train_command(dataset: str, configuration: str, fold: int | str, trainer: str, plans: str = "nnUNetPlans") -> str:
    """Return the nnUNetv2_train call that a user would type."""
    plans_flag = "" if plans == "nnUNetPlans" else f" -p {plans}"
    return f"nnUNetv2_train {dataset_id(dataset)} {configuration} {fold} -tr {trainer}{plans_flag}"


def check_configuration_name(name: str) -> None:
    """Raise ValueError if nnU-Net could not train a configuration of this name, which becomes part of a folder's."""
    if not re.fullmatch(r"[\w.+-]+", name) or "__" in name or name.startswith(("-", ".")):
        raise ValueError(
            f"nnU-Net cannot train a configuration named '{name}': -n takes letters, digits, '_', '.', '+' and '-', "
            f"without '__', which separates the parts of a folder's name, and without '-' or '.' in front."
        )


def full_dataset_name(dataset: str) -> str:
    """Return "Dataset004_Hippocampus" for "4" or that name itself.

    Raises:
        ValueError: if there is no such dataset.
    """
    try:
        return maybe_convert_to_dataset_name(int(dataset) if dataset.isdigit() else dataset)
    except RuntimeError as error:
        raise ValueError(f"There is no dataset {dataset}: {' '.join(str(error).split())}") from None


def find_plans(dataset: str, plans_identifier: str) -> tuple[str, Path]:
    """Return the full name of a dataset and its plans file.

    Raises:
        ValueError: if there is no such dataset.
        FileNotFoundError: if it has no such plans; names the plans that it has.
    """
    name = full_dataset_name(dataset)
    path = Path(nnUNet_preprocessed.require()) / name / f"{plans_identifier}.json"
    if not path.is_file():
        others = [file.stem for file in sorted(path.parent.glob("*.json")) if '"configurations"' in file.read_text()]
        others_there = f", or name with -p the plans that are there: {', '.join(others)}" if others else ""
        raise FileNotFoundError(
            f"There are no plans {path}: make them with nnUNetv2_plan_and_preprocess -d {dataset}{others_there}."
        )
    return name, path


def read_plans(dataset: str, plans_identifier: str, configuration: str) -> tuple[dict[str, Any], Path]:
    """Return the content of a plans file that has a configuration, and the file.

    Raises:
        ValueError: if there is no such dataset or configuration.
        FileNotFoundError: if the dataset has no such plans.
    """
    _, path = find_plans(dataset, plans_identifier)
    plans = json.loads(path.read_text())
    check_has_configuration(plans, configuration, where=path)
    return plans, path


def read_splits(splits_file: Path) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return training and validation cases of each fold of a splits_final.json.

    Raises:
        ValueError: naming the file and the remedy, if it is damaged.
    """
    try:
        splits = json.loads(read_text(splits_file))
        if not isinstance(splits, list) or not splits:
            raise ValueError("a list of folds is needed")
        return [(tuple(split["train"]), tuple(split["val"])) for split in splits]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{splits_file} is no list of folds with train and val ({error!r}): mend it, or delete it and "
            f"nnUNetv2_train writes its own."
        ) from error


def check_has_configuration(plans: Mapping[str, Any], configuration: str, *, where: Path) -> None:
    """Raise ValueError, listing the configurations of the plans in a file, if the wanted one is not among them."""
    if configuration not in plans["configurations"]:
        raise ValueError(f"{where} has no configuration {configuration}, only {', '.join(plans['configurations'])}.")


def lineage(configurations: Mapping[str, Any], name: str | None) -> Iterator[str]:
    """Yield a configuration of the plans and those that it inherits from, the nearest first."""
    visited: set[str] = set()
    while name is not None and name in configurations and name not in visited:
        visited.add(name)
        yield name
        name = configurations[name].get("inherits_from")


def inherited(configurations: Mapping[str, Any], name: str, key: str) -> Any:
    """Return an entry of a configuration as the host resolves it: the nearest one in its lineage, or None."""
    return next((configurations[n][key] for n in lineage(configurations, name) if key in configurations[n]), None)
