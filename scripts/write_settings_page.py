"""Write the tables of docs/reference/settings.md from the settings: `python scripts/write_settings_page.py`."""

from pathlib import Path

from acnn_nnunet.nnunet.setting_rule import SettingRule, spell
from acnn_nnunet.nnunet.settings import PRESETS, Settings, rules

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"
MARKER = "<!-- Below this line: written by scripts/write_settings_page.py. -->\n"


def main() -> None:
    """Replace everything below the marker."""
    PAGE.write_text(PAGE.read_text().split(MARKER)[0] + MARKER + tables())


def tables() -> str:
    """Return the sections of all keys and of the paper preset."""
    keys = "\n".join(_row(key, rule) for key, rule in rules().items())
    paper = "\n".join(f"| `{key}` | `{spell(value)}` |" for key, value in PRESETS["paper"].items())
    return f"""
## Keys

"Concerns" says who reads a key: every trainer, the prior's training, the loss of the trainers that use a prior, or the
trainers for thick slices.

| key | default | allowed | concerns | meaning |
|---|---|---|---|---|
{keys}

## The `paper` preset

`preset=paper` sets what Oktay et al. publish, for both trainers. Optimiser, schedule, batch and patch stay nnU-Net's.

| key | value |
|---|---|
{paper}
"""


def _row(key: str, rule: SettingRule) -> str:
    words = [f"`{spell(choice)}`" for choice in rule.choices]
    allowed = ", ".join([*words, *([rule.others] if rule.others else []), *(["`none`"] if rule.unset else [])])
    unset = f"; `none`: {rule.unset}" if rule.unset else ""
    return f"| `{key}` | `{spell(getattr(Settings, key))}` | {allowed} | {rule.concerns} | {rule.meaning}{unset} |"


if __name__ == "__main__":
    main()
