"""What one key of the `acnn` block means and accepts, written into a dataclass field's metadata."""

import math
from dataclasses import dataclass, field
from typing import Any

RULE = "rule"
"""The metadata key of a field's rule."""


@dataclass(frozen=True)
class SettingRule:
    """Meaning and range of a setting.

    Attributes:
        meaning: One sentence, without a full stop.
        concerns: "trainer" for every trainer, "prior", "loss" or "thick slices".
        choices: The only values that are accepted; empty for a number or a path.
        low, high: Bounds of a number, both allowed.
        whole: The number is an integer.
        path_of: What a path leads to; empty for anything but a path.
        unset: What None, the default, stands for; empty where None is refused.
    """

    meaning: str
    concerns: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = math.inf
    whole: bool = False
    path_of: str = ""
    unset: str = ""

    @property
    def allowed(self) -> str:
        """The accepted values in words, such as "number ≥ 0, none"."""
        if self.choices:
            kind = ", ".join(map(spell, self.choices))
        elif self.path_of:
            kind = f"path of {self.path_of}"
        elif math.isinf(self.high):
            kind = f"{self._number} ≥ {self.low:g}"
        else:
            kind = f"{self._number} from {self.low:g} to {self.high:g}"
        return f"{kind}, none" if self.unset else kind

    def check(self, key: str, value: Any) -> None:
        """Raise ValueError, naming the key, the accepted values and the given one, if a value is not accepted."""
        if value is None and self.unset:
            return
        if self.choices:
            accepted = any(value is choice or (isinstance(value, str) and value == choice) for choice in self.choices)
            switch = self.choices == (True, False)
            wanted = "true or false" if switch else f"one of {', '.join(map(spell, self.choices))}"
        elif self.path_of:
            accepted, wanted = isinstance(value, str) and value != "", f"the path of {self.path_of}"
        else:
            accepted, wanted = self._is_in_range(value), self._range_in_words
        if not accepted:
            raise ValueError(f"{key} must be {wanted}, got {value!r}")
        if isinstance(value, float) and math.isinf(value):
            raise ValueError(f"{key} must be finite, got {value!r}")

    @property
    def _number(self) -> str:
        return "integer" if self.whole else "number"

    @property
    def _range_in_words(self) -> str:
        article = "an" if self.whole else "a"
        bounds = f"of at least {self.low:g}" if math.isinf(self.high) else f"between {self.low:g} and {self.high:g}"
        return f"{article} {self._number} {bounds}"

    def _is_in_range(self, value: Any) -> bool:
        kind = int if self.whole else (int, float)
        return isinstance(value, kind) and not isinstance(value, bool) and self.low <= value <= self.high


def setting(default: Any, meaning: str, *, concerns: str, **limits: Any) -> Any:
    """Return a dataclass field with its rule; `limits` are the other fields of `SettingRule`."""
    return field(default=default, metadata={RULE: SettingRule(meaning, concerns, **limits)})


def spell(value: Any) -> str:
    """Return a value as `acnn-nnunet configure` takes it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
