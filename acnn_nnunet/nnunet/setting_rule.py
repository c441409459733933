"""What a setting means, which values it takes, and the sentences that say so."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

RULE = "rule"
"""The metadata key of a field's rule."""


@dataclass(frozen=True)
class Form:
    """A way of writing a value.

    Attributes:
        words: It with an example, such as "axes such as 0,1".
        read: Reads a value; raises ValueError, saying why, for one that is not written so.
    """

    words: str
    read: Callable[[Any], Any]


@dataclass(frozen=True)
class SettingRule:
    """Meaning and range of a setting.

    Attributes:
        concerns: "trainer" for every trainer, "prior", "loss" or "thick slices".
        meaning: One sentence, without a full stop.
        choices: The words that are accepted, and nothing else but a form, or a number with `number_too`.
        number_too: A number is accepted next to `choices`.
        form: A way of writing other values.
        low, high: Bounds of a number, both allowed.
        whole: The number is an integer.
        path_of: What a path leads to; empty for anything but a path.
        unset: What None, the default, stands for; empty where None is refused.
    """

    concerns: str
    meaning: str
    choices: tuple[Any, ...] = ()
    number_too: bool = False
    form: Form | None = None
    low: float = 0.0
    high: float = math.inf
    whole: bool = False
    path_of: str = ""
    unset: str = ""

    @property
    def allowed(self) -> str:
        """The accepted values in words, such as "number ≥ 0, none"."""
        kinds = [*map(spell, self.choices), *([self.others] if self.others else [])]
        return ", ".join([*kinds, "none"] if self.unset else kinds)

    @property
    def others(self) -> str:
        """What is accepted besides `choices` and none, in words."""
        if self.form:
            return self.form.words
        if self.path_of:
            return f"path of {self.path_of}"
        if not self._takes_numbers:
            return ""
        if math.isinf(self.high):
            return f"{self._number} ≥ {self.low:g}"
        return f"{self._number} from {self.low:g} to {self.high:g}"

    def check(self, key: str, value: Any) -> None:
        """Raise ValueError, naming the key, the accepted values and the given one, if a value is not accepted."""
        if (value is None and self.unset) or self._is_choice(value):
            return
        why = ""
        if self.form:
            try:
                self.form.read(value)
                return
            except ValueError as error:
                why = f" ({error})" if str(error) else ""
        elif (self.path_of and isinstance(value, str) and value) or (self._takes_numbers and self._is_in_range(value)):
            if isinstance(value, float) and math.isinf(value):
                raise ValueError(f"{key} must be finite, got {value!r}")
            return
        raise ValueError(f"{key} must be {self._wanted}, got {value!r}{why}")

    @property
    def _takes_numbers(self) -> bool:
        return self.number_too or not (self.choices or self.form or self.path_of)

    @property
    def _number(self) -> str:
        return "integer" if self.whole else "number"

    @property
    def _wanted(self) -> str:
        if self.path_of:
            return f"the path of {self.path_of}"
        ways = [self.form.words] if self.form else [self._range_in_words] if self._takes_numbers else []
        if self.choices == (True, False):
            ways.append("true or false")
        elif self.choices:
            ways.append(f"{'one of ' if len(self.choices) > 1 else ''}{', '.join(map(spell, self.choices))}")
        return " or ".join(ways)

    @property
    def _range_in_words(self) -> str:
        article = "an" if self.whole else "a"
        bounds = f"of at least {self.low:g}" if math.isinf(self.high) else f"between {self.low:g} and {self.high:g}"
        return f"{article} {self._number} {bounds}"

    def _is_choice(self, value: Any) -> bool:
        return any(value is choice or (isinstance(value, str) and value == choice) for choice in self.choices)

    def _is_in_range(self, value: Any) -> bool:
        kind = int if self.whole else (int, float)
        return isinstance(value, kind) and not isinstance(value, bool) and self.low <= value <= self.high


def setting(default: Any, concerns: str, meaning: str, **limits: Any) -> Any:
    """Return a dataclass field with its rule; `limits` are the other fields of `SettingRule`."""
    return field(default=default, metadata={RULE: SettingRule(concerns, meaning, **limits)})


def spell(value: Any) -> str:
    """Return a value as `acnn-nnunet configure` takes it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def read_factors(value: Any) -> tuple[int, ...]:
    """Return the factors of a setting, sorted: a number, a list of them, or a string such as "4,5,6".

    Raises:
        ValueError: if it is anything else, or a factor is below 2 or comes twice.
    """
    numbers = _read_numbers(value)
    factors = sorted(int(number) for number in numbers)
    if any(number != int(number) for number in numbers):
        raise ValueError("a factor is a whole number")
    if factors[0] < 2:
        raise ValueError("a factor is 2 or more")
    if len(set(factors)) < len(factors):
        raise ValueError("a factor comes twice")
    return tuple(factors)


def read_range(value: Any) -> tuple[float, float]:
    """Return the ends of a range: a number twice, or two numbers in a list or a string such as "0,2".

    Raises:
        ValueError: if it is anything else.
    """
    numbers = _read_numbers(value)
    if len(numbers) > 2:
        raise ValueError("at most two numbers")
    if numbers[0] > numbers[-1]:
        raise ValueError("the smaller one comes first")
    return numbers[0], numbers[-1]


def _read_numbers(value: Any) -> list[float]:
    words = value.split(",") if isinstance(value, str) else value if isinstance(value, (list, tuple)) else [value]
    if not words or any(isinstance(word, bool) or not isinstance(word, (int, float, str)) for word in words):
        raise ValueError
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise ValueError from None
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError
    return numbers
