"""The key of a study: which case and arm each item is. Readers must not see it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet import __version__
from acnn_nnunet.files.safe_writes import write_json

COMMAND = "acnn-nnunet reader-study"


@dataclass(frozen=True)
class Item:
    """One thing to be rated: an arm's version of a case."""

    case: str
    arm: str


@dataclass(frozen=True)
class StudyKey:
    """What the anonymous items of a study are.

    Attributes:
        study: the digest of the page, which its exports carry.
        arms: names, the baseline first.
        items: in the order in which they are shown.
        about: folders and seed.
    """

    study: str
    arms: tuple[str, ...]
    items: tuple[Item, ...]
    about: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            OSError: if it cannot be written.
        """
        items = [{"item": number, "case": item.case, "arm": item.arm} for number, item in enumerate(self.items, 1)]
        content = {"command": COMMAND, "version": __version__, "study": self.study, "arms": list(self.arms)}
        write_json(path, {**content, **self.about, "items": items})

    @classmethod
    def read(cls, path: Path) -> "StudyKey":
        """Read what `write` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is no key.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"There is no {path}: `{COMMAND}` writes the key of a study.")
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            items = tuple(Item(each["case"], each["arm"]) for each in content["items"])
            if content["command"] != COMMAND or not items:
                raise ValueError
            return cls(content["study"], tuple(content["arms"]), items, {})
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is no key of a study: give the key.json that `{COMMAND}` wrote.") from None


def shuffled_items(cases: Sequence[str], arms: Sequence[str], *, seed: int) -> tuple[Item, ...]:
    """Return every arm of every case in a random order that the seed fixes."""
    items = [Item(case, arm) for case in sorted(cases) for arm in sorted(arms)]
    order = np.random.default_rng(seed).permutation(len(items))
    return tuple(items[index] for index in order)
