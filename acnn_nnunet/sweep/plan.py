"""The plan of a sweep: a YAML file, checked to the last key before anything starts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from acnn_nnunet.files.safe_writes import check_names
from acnn_nnunet.nnunet.configure import spell_assignments
from acnn_nnunet.nnunet.plans import train_command

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
EXAMPLE = """\
dataset: 27
configuration: 3d_fullres
trainer: ACNNTrainer
folds: [0, 1]
seeds: [0, 1]
settings:
  baseline: {prior_weight: 0}
  acnn: {}
"""


@dataclass(frozen=True)
class TrainingRun:
    """One training.

    Attributes:
        arm: setting and seed, the name of its evaluation.
        dataset: full name.
        configuration: derived, with the arm's settings.
        fold: its number.
        trainer: name of its class.
        plans_identifier: as in nnU-Net.
        device: cpu, cuda or mps.
        settings: of the arm, as `key=value` words.
    """

    arm: str
    dataset: str
    configuration: str
    fold: int
    trainer: str
    plans_identifier: str
    device: str
    settings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The run's name in tables, and of its log."""
        return f"{self.arm}_fold{self.fold}"

    @property
    def command(self) -> str:
        """What a user would type."""
        device = "" if self.device == "cuda" else f" -device {self.device}"
        command = train_command(self.dataset, self.configuration, self.fold, self.trainer, self.plans_identifier)
        return f"{command}{device}"


@dataclass(frozen=True)
class SweepPlan:
    """What is trained.

    Attributes:
        dataset: id or name.
        configuration: that every arm's settings are added to.
        trainer: name of the class that trains every arm.
        folds: their numbers.
        settings: arm to its settings, as for `acnn-nnunet configure`.
        seeds: each arm is trained once with each; without any, with the seed that its settings give.
        plans: identifier.
        device: cuda, cpu or mps.

    Raises:
        ValueError: for values that cannot be.
    """

    dataset: str
    configuration: str
    trainer: str
    folds: tuple[int, ...]
    settings: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...] = ()
    plans: str = "nnUNetPlans"
    device: str = "cuda"

    def __post_init__(self) -> None:
        check_names((self.dataset, self.configuration, self.trainer, self.plans), where="it")
        for name, values in (("folds", self.folds), ("seeds", self.seeds)):
            if not all(type(value) is int and value >= 0 for value in values) or len(set(values)) < len(values):
                raise ValueError(f"{name} are different whole numbers from 0 on, not {list(values)}")
        if not self.folds or not self.settings:
            raise ValueError(f"there are no {'settings' if self.folds else 'folds'}")
        for arm, chosen in self.settings.items():
            if not _NAME.fullmatch(str(arm)):
                raise ValueError(f"the setting {arm!r} has no name of letters, digits, '.', '+' and '-'")
            if not isinstance(chosen, Mapping):
                raise ValueError(f"the setting {arm} is no mapping such as {{prior_weight: 0}}")
            if "seed" in chosen and self.seeds:
                raise ValueError(f"the setting {arm} gives a seed, and so does seeds: give one of them")
        if self.device not in ("cuda", "cpu", "mps"):
            raise ValueError(f"device is cuda, cpu or mps, not {self.device}")

    def arms(self) -> dict[str, dict[str, Any]]:
        """Return the settings of each arm, its seed included."""
        if not self.seeds:
            return {arm: dict(values) for arm, values in self.settings.items()}
        return {
            f"{arm}_seed{seed}": {**values, "seed": seed}
            for arm, values in self.settings.items()
            for seed in self.seeds
        }

    def configuration_of(self, arm: str) -> str:
        """Return the name of an arm's configuration."""
        return f"{self.configuration}_{arm}"

    def runs(self, dataset: str) -> list[TrainingRun]:
        """Return every training; `dataset` is the full name."""
        told = (self.trainer, self.plans, self.device)
        return [
            TrainingRun(arm, dataset, self.configuration_of(arm), fold, *told, tuple(spell_assignments(settings)))
            for fold in self.folds
            for arm, settings in self.arms().items()
        ]


def read_plan(path: Path) -> SweepPlan:
    """Read a plan.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file and what is wrong with it.
    """
    import yaml

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no plan {path}. A plan looks like this:\n{EXAMPLE}")
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
        if isinstance(content, dict) and "dataset" in content:
            # YAML reads 027 as an octal number, 23: an id is what is written.
            content["dataset"] = yaml.load(text, yaml.BaseLoader).get("dataset", content["dataset"])
        return _plan_of(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML ({' '.join(str(error).split())}).") from None
    except ValueError as error:
        raise ValueError(f"{path}: {str(error).removesuffix('.')}.") from None


def _plan_of(content: Any) -> SweepPlan:
    if not isinstance(content, Mapping):
        raise ValueError(f"it is no mapping of {', '.join(_keys())}")
    if unknown := [str(key) for key in content if key not in _keys()]:
        raise ValueError(f"unknown keys {', '.join(unknown)}; there are {', '.join(_keys())}")
    needed = [name for name in ("dataset", "configuration", "trainer", "folds", "settings") if name not in content]
    if needed:
        raise ValueError(f"{', '.join(needed)} {'is' if len(needed) == 1 else 'are'} missing")
    values: dict[str, Any] = {name: str(value) for name, value in content.items() if name != "settings"}
    values |= {name: _listed(name, content[name]) for name in ("folds", "seeds") if name in content}
    if not isinstance(content["settings"], Mapping):
        raise ValueError("settings is no mapping of a name to settings, such as baseline: {prior_weight: 0}")
    return SweepPlan(settings=dict(content["settings"]), **values)


def _keys() -> list[str]:
    return [field.name for field in fields(SweepPlan)]


def _listed(name: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"{name} is no list such as [0, 1]")
    return tuple(value)
