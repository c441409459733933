"""`acnn-nnunet configure`: derived configurations with an `acnn` block, and help on its keys."""

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acnn_nnunet.nnunet.labels import read_dataset_json
from acnn_nnunet.nnunet.setting_rule import spell
from acnn_nnunet.nnunet.settings import PLANS_KEY, PRESETS, Settings, rule_of, rules


def configure(dataset: str, *, base: str, name: str, plans_identifier: str, assignments: list[str]) -> str:
    """Write a configuration that inherits from `base`, with its block merged and changed by `assignments`.

    The host lets a child's block replace its parent's, so the whole block is written. Preprocessed data is shared.
    A configuration that was written so before is replaced, its settings included; any other is left alone.

    Returns:
        What was written, and along which axes of the files training mirrors where the settings name some.

    Raises:
        ValueError: for an unknown dataset or configuration, a name that is taken or not trainable, or a bad setting.
        FileNotFoundError: if there are no such plans.
    """
    # Here, because --help answers at once.
    from acnn_nnunet.files.safe_writes import write_json
    from acnn_nnunet.nnunet.plans import check_configuration_name, inherited, lineage, read_plans

    check_configuration_name(name)
    plans, plans_file = read_plans(dataset, plans_identifier, base)
    configurations = plans["configurations"]
    if name == base or (name in configurations and set(configurations[name]) - {"inherits_from", PLANS_KEY}):
        raise ValueError(f"{name} is a configuration of its own in {plans_file}: choose another name with -n.")
    if name in lineage(configurations, base):
        raise ValueError(f"{base} inherits from {name} in {plans_file}: choose another name with -n.")
    block = {**(inherited(configurations, base, PLANS_KEY) or {}), **parse_assignments(assignments)}
    mirroring = _describe_mirroring(_checked(block), plans, plans_file, base)
    configurations[name] = {"inherits_from": base, PLANS_KEY: block}
    cascade = _enter_in_first_stage(configurations, name)
    write_json(plans_file, plans)
    settings = ", ".join(f"{key}={json.dumps(value)}" for key, value in block.items()) or "defaults"
    wrote = f"wrote configuration {name} (from {base}; {settings}) to {plans_file}"
    return f"{plans_file.parent.name}: {wrote}{mirroring}{cascade}"


def _enter_in_first_stage(configurations: dict[str, Any], name: str) -> str:
    """Make a cascade's first stage predict for a second stage of this name too, and put that into a sentence."""
    from acnn_nnunet.nnunet.plans import inherited

    first = inherited(configurations, name, "previous_stage")
    if first not in configurations:
        return ""
    stages = inherited(configurations, first, "next_stage") or []
    stages = [stages] if isinstance(stages, str) else stages
    if name in stages:
        return ""
    configurations[first]["next_stage"] = [*stages, name]
    return f". {first} has to predict for it: train {first}, or run its nnUNetv2_train again with --val, for each fold"


def describe_key(key: str) -> str:
    """Return a few lines on a key: meaning, default, accepted values, and whom it concerns.

    Raises:
        ValueError: listing all keys, for an unknown one.
    """
    rule, default = rule_of(key), spell(getattr(Settings, key))
    presets = [f"{name}: {spell(values[key])}" for name, values in PRESETS.items() if key in values]
    return "\n".join(
        [
            *textwrap.wrap(f"{key}: {rule.meaning}".replace("`", ""), width=100),
            f"  default   {default}{f' ({rule.unset})'.replace('`', '') if rule.unset else ''}",
            f"  allowed   {rule.allowed}",
            f"  concerns  {rule.concerns}",
            *(f"  preset    {preset}" for preset in presets),
        ]
    )


def list_keys() -> str:
    """Return a short list of all keys with default and accepted values."""
    keys = "\n".join(f"  {key}={spell(getattr(Settings, key))}  ({rule.allowed})" for key, rule in rules().items())
    return f"settings (--help KEY says what one means):\n{keys}"


def parse_assignments(assignments: list[str]) -> dict[str, Any]:
    """Turn `key=value` words of a command line into a block; values are JSON, or else plain strings.

    Each key is checked by itself: what goes together may stand in the block that these words change.

    Raises:
        ValueError: for a word without `=`, an unknown key or a bad value.
    """
    block: dict[str, Any] = {}
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise ValueError(f"Expected key=value, got '{assignment}'.")
        block[key] = _parse_value(text)
    try:
        for key, value in block.items():
            rule_of(key).check(key, value)
    except ValueError as error:
        raise ValueError(f"Bad setting: {error}.") from None
    return block


def spell_assignments(values: Mapping[str, Any]) -> list[str]:
    """Return settings as the `key=value` words that `parse_assignments` takes."""
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def _checked(block: dict[str, Any]) -> Settings:
    try:
        return Settings.from_block(block)
    except ValueError as error:
        raise ValueError(f"Bad setting: {error}.") from None


def _describe_mirroring(settings: Settings, plans: dict[str, Any], plans_file: Path, base: str) -> str:
    """Check what settings say of mirroring against the data, and put it into a sentence; empty where it says nothing.

    Raises:
        ValueError: if the configuration lacks an axis, or the dataset a label.
    """
    from acnn_nnunet.nnunet.plans import inherited

    names_axes = not (isinstance(settings.mirroring, bool) or settings.mirroring == "auto")
    if not names_axes and settings.mirrored_labels is None and settings.mirrored_labels_axis is None:
        return ""
    labels = read_dataset_json(plans_file.with_name("dataset.json"))["labels"] if settings.mirrored_labels else {}
    num_axes = len(inherited(plans["configurations"], base, "patch_size"))
    try:
        mirroring = settings.plan_mirroring(with_prior=True, num_axes=num_axes, labels=labels)
    except ValueError as error:
        raise ValueError(f"Bad setting for {base} of {plans_file.parent.name}: {error}.") from None
    return f"\n{mirroring.describe(plans['transpose_forward'], num_axes=num_axes)}"


def _parse_value(text: str) -> Any:
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
