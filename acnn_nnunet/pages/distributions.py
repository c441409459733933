"""How values are spread: a box and a column of dots for each name, in panels side by side."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from acnn_nnunet.pages.drawing import dots, line, svg_data_uri, text, text_width
from acnn_nnunet.pages.page import LABEL_COLOURS

_HEIGHT, _TOP, _BOTTOM, _RIGHT = 340, 28, 34, 10  # in pixels
_SIZE = 13
_STRAIGHT = 4  # names, up to which they are written level
_TICK = 4
_MOST_DOTS, _MOST_DOTS_IN_ALL = 2000, 12_000
_BOX, _CAP, _SPREAD = 0.55, 0.275, 0.18  # width of box and caps, and how far dots lie to the sides; columns are 1 apart
_REACH = 1.5  # of the whiskers, in heights of the box
_MARGIN = 0.05  # of the values' range, above and below
_STEPS = (1, 2, 2.5, 5, 10)
_MOST_TICKS = 7


def draw_distributions(panels: Mapping[str, Sequence[np.ndarray]], names: Sequence[str]) -> str:
    """Draw box plots with a dot for each value, and return the picture as a `data:` address.

    The box reaches from the first to the third quartile, the whiskers to the farthest value within 1.5 of its height.
    Of very many values a sample is shown as dots.

    Args:
        panels: by title, the values of each name (N,); none for an empty column.
        names: of the columns.
    """
    width = max(600.0, 200 + 80 * len(names)) / len(panels)
    rng = np.random.default_rng(0)
    pieces: list[str] = []
    num_dots = min(_MOST_DOTS, _MOST_DOTS_IN_ALL // max(1, len(panels) * len(names)))
    for number, (title, columns) in enumerate(panels.items()):
        pieces.append(f'<g transform="translate({number * width:g} 0)">')
        pieces += _panel(title, columns, names, width, rng, num_dots)
        pieces.append("</g>")
    return svg_data_uri(width * len(panels), _height(names), pieces)


def nice_ticks(low: float, high: float) -> list[float]:
    """Return up to seven round numbers, evenly apart, from `low` to `high`, which lies above it."""
    rough = (high - low) / _MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in _STEPS if each * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def box_of(values: np.ndarray) -> tuple[float, float, float, float, float]:
    """Return lower whisker, first quartile, median, third quartile and upper whisker of values (N,), N at least 1."""
    first, median, third = (float(each) for each in np.percentile(values, (25, 50, 75)))
    reach = _REACH * (third - first)
    inside = values[(values >= first - reach) & (values <= third + reach)]
    low, high = (float(inside.min()), float(inside.max())) if inside.size else (first, third)
    return min(low, first), first, median, third, max(high, third)


def _panel(
    title: str,
    columns: Sequence[np.ndarray],
    names: Sequence[str],
    width: float,
    rng: np.random.Generator,
    num_dots: int,
) -> list[str]:
    low, high = _limits(columns)
    ticks = nice_ticks(low, high)
    labels = _tick_labels(ticks)
    left = 14 + _TICK + max(text_width(label, size=_SIZE) for label in labels)
    bottom, right = _HEIGHT - _BOTTOM, width - _RIGHT
    unit = (right - left) / (len(names) + 0.2)

    def across(position: np.ndarray | float) -> np.ndarray:
        return left + unit * (np.asarray(position) + 0.6)

    def up(value: np.ndarray | float) -> np.ndarray:
        return bottom - (np.asarray(value) - low) / (high - low) * (bottom - _TOP)

    pieces = [text((left + right) / 2, _TOP - 9, title, size=_SIZE)]
    for tick, label in zip(ticks, labels, strict=True):
        y = float(up(tick))
        pieces.append(line((left - _TICK, left), (y, y)))
        pieces.append(text(left - _TICK - 4, y + 0.35 * _SIZE, label, size=_SIZE, anchor="end"))
    for position, (name, values) in enumerate(zip(names, columns, strict=True)):
        x = float(across(position))
        pieces.append(line((x, x), (bottom, bottom + _TICK)))
        pieces.append(_column_name(x, bottom + _TICK, name, is_straight=len(names) <= _STRAIGHT))
        if values.size:
            shown = values if values.size <= num_dots else rng.choice(values, num_dots, replace=False)
            places = across(position + rng.uniform(-_SPREAD, _SPREAD, shown.size))
            pieces.append(dots(places, up(shown), colour=LABEL_COLOURS[position % len(LABEL_COLOURS)], width=4))
            pieces += _box(x, unit, [float(up(each)) for each in box_of(values)])
    pieces.append(line((left, right, right, left, left), (_TOP, _TOP, bottom, bottom, _TOP)))
    return pieces


def _box(x: float, unit: float, heights: Sequence[float]) -> list[str]:
    """Return box and whiskers around a place; heights in the order of `box_of`."""
    low, first, median, third, high = heights
    half, cap = unit * _BOX / 2, unit * _CAP / 2
    sides = (x - half, x + half)
    pieces = [
        line((*sides, *reversed(sides), sides[0]), (first, first, third, third, first)),
        line(sides, [median] * 2),
    ]
    for end, edge in ((low, first), (high, third)):
        pieces += [line((x, x), (edge, end)), line((x - cap, x + cap), (end, end))]
    return pieces


def _limits(columns: Sequence[np.ndarray]) -> tuple[float, float]:
    filled = [values for values in columns if values.size]
    low, high = (min(map(np.min, filled)), max(map(np.max, filled))) if filled else (0.0, 1.0)
    margin = _MARGIN * (float(high) - float(low)) or _MARGIN * abs(float(high)) or 0.05
    return float(low) - margin, float(high) + margin


def _tick_labels(ticks: Sequence[float]) -> list[str]:
    """Return the ticks with as many decimals as tell them apart."""
    digits = next(number for number in range(16) if len({f"{tick:.{number}f}" for tick in ticks}) == len(ticks))
    while digits < 15 and any(abs(float(f"{tick:.{digits}f}") - tick) > 1e-9 * max(map(abs, ticks)) for tick in ticks):
        digits += 1
    return [f"{tick + 0.0:.{digits}f}" for tick in ticks]


def _column_name(x: float, top: float, name: str, *, is_straight: bool) -> str:
    if is_straight:
        return text(x, top + _SIZE + 2, name, size=_SIZE)
    return text(x, top + _SIZE, name, size=_SIZE, anchor="end", turned=30)


def _height(names: Sequence[str]) -> float:
    """Return the height of the picture: turned names need more below."""
    if len(names) <= _STRAIGHT:
        return _HEIGHT
    return _HEIGHT + 0.5 * max(text_width(name, size=_SIZE) for name in names)
