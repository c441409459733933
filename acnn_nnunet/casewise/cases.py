"""Which files belong to which case, by their names."""

import re
from collections.abc import Mapping
from pathlib import Path

_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def group_channels(files: Mapping[str, Path]) -> tuple[dict[str, dict[int, Path]], dict[str, Path]]:
    """Return the channels of each case, and the files that are no channel.

    Args:
        files: by name without ending; nnU-Net names the first channel of a case CASE_0000.

    Returns:
        For each case its files by channel, in the order of `files`; the other files by name.
    """
    cases: dict[str, dict[int, Path]] = {}
    others = {}
    for name, path in files.items():
        if match := _CHANNEL.fullmatch(name):
            cases.setdefault(match["case"], {})[int(match["channel"])] = path
        else:
            others[name] = path
    return cases, others
