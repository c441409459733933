"""`acnn-nnunet configure`: derived configurations with an `acnn` block, and help on its keys."""

import json
import textwrap
from typing import Any

from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.nnunet.plans import check_configuration_name, read_plans
from acnn_nnunet.nnunet.settings import PLANS_KEY, PRESETS, Settings, rule_of, rules, spell


def configure(dataset: str, *, base: str, name: str, plans_identifier: str, assignments: list[str]) -> str:
    """Write a configuration that inherits from `base`, with its block merged and changed by `assignments`.

    The host lets a child's block replace its parent's, so the whole block is written. Preprocessed data is shared.
    A configuration that was written so before is replaced, its settings included; any other is left alone.

    Returns:
        A sentence that says what was written.

    Raises:
        ValueError: for an unknown dataset or configuration, a name that is taken or not trainable, or a bad setting.
        FileNotFoundError: if there are no such plans.
    """
    check_configuration_name(name)
    plans, plans_file = read_plans(dataset, plans_identifier, base)
    configurations = plans["configurations"]
    if name == base or (name in configurations and set(configurations[name]) - {"inherits_from", PLANS_KEY}):
        raise ValueError(f"{name} is a configuration of its own in {plans_file}: choose another name with -n.")
    block = {**_inherited_block(configurations, base), **parse_assignments(assignments)}
    Settings.from_block(block)
    configurations[name] = {"inherits_from": base, PLANS_KEY: block}
    write_json(plans_file, plans)
    settings = ", ".join(f"{key}={json.dumps(value)}" for key, value in block.items()) or "defaults"
    return f"{plans_file.parent.name}: wrote configuration {name} (from {base}; {settings}) to {plans_file}"


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
    """Turn `key=value` words of a command line into a checked block; values are JSON, or else plain strings.

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
        Settings.from_block(block)
    except ValueError as error:
        raise ValueError(f"Bad setting: {error}.") from None
    return block


def _inherited_block(configurations: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the block that the host would resolve for a configuration: the nearest one up its line."""
    visited: set[str] = set()
    current: str | None = name
    while current is not None and current not in visited:
        visited.add(current)
        if PLANS_KEY in configurations[current]:
            return dict(configurations[current][PLANS_KEY])
        current = configurations[current].get("inherits_from")
    return {}


def _parse_value(text: str) -> Any:
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
