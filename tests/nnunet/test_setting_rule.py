"""What a setting takes, and the sentences that say so."""

from dataclasses import dataclass, fields

import pytest

from acnn_nnunet.nnunet.setting_rule import Form, SettingRule, read_factors, read_range, setting, spell

NUMBER = SettingRule("loss", "", high=1.0)
COUNT = SettingRule("loss", "", whole=True, low=1, unset="as many as nnU-Net")
CHOICE = SettingRule("loss", "", choices=("auto", True, False))
SWITCH = SettingRule("loss", "", choices=(True, False))
FILE = SettingRule("loss", "", path_of="a prior file")
PAIR = SettingRule("loss", "", form=Form("a pair such as 1:2", lambda value: _read_pair(value)), unset="no pair")
OR_NUMBER = SettingRule("loss", "", choices=("auto",), number_too=True, high=1.0)
OR_PAIR = SettingRule("loss", "", choices=("auto", True), form=PAIR.form)


def _read_pair(value):
    first, second = value.split(":")
    if first == second:
        raise ValueError("both are the same")


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        (NUMBER, [0, 0.5, 1]),
        (COUNT, [None, 1, 10**9]),
        (CHOICE, ["auto", True]),
        (SWITCH, [False]),
        (FILE, ["a"]),
        (PAIR, [None, "1:2"]),
        (OR_NUMBER, ["auto", 0, 0.5]),
        (OR_PAIR, [True, "1:2"]),
    ],
)
def test_what_is_accepted(rule, values):
    for value in values:
        rule.check("key", value)


@pytest.mark.parametrize(
    ("rule", "value", "message"),
    [
        (NUMBER, None, "key must be a number between 0 and 1, got None"),
        (NUMBER, True, "key must be a number between 0 and 1, got True"),
        (NUMBER, float("nan"), "key must be a number between 0 and 1, got nan"),
        (SettingRule("loss", ""), float("inf"), "key must be finite, got inf"),
        (COUNT, 0, "key must be an integer of at least 1, got 0"),
        (COUNT, 2.0, "key must be an integer of at least 1, got 2.0"),
        (CHOICE, 1, "key must be one of auto, true, false, got 1"),
        (CHOICE, [], r"key must be one of auto, true, false, got \[\]"),
        (SWITCH, 0, "key must be true or false, got 0"),
        (FILE, "", "key must be the path of a prior file, got ''"),
        (PAIR, "1:1", r"key must be a pair such as 1:2, got '1:1' \(both are the same\)"),
        (OR_NUMBER, 1.5, "key must be a number between 0 and 1 or auto, got 1.5"),
        (OR_NUMBER, True, "key must be a number between 0 and 1 or auto, got True"),
        (OR_PAIR, "1:1", "key must be a pair such as 1:2 or one of auto, true, got '1:1'"),
    ],
)
def test_what_is_refused(rule, value, message):
    with pytest.raises(ValueError, match=message):
        rule.check("key", value)


def test_the_accepted_values_in_words():
    rules = (NUMBER, COUNT, CHOICE, FILE, PAIR, OR_NUMBER, OR_PAIR)
    words = ["number from 0 to 1", "integer ≥ 1, none", "auto, true, false", "path of a prior file"]
    words += ["a pair such as 1:2, none", "auto, number from 0 to 1", "auto, true, a pair such as 1:2"]
    assert [rule.allowed for rule in rules] == words


def test_a_field_carries_its_rule():
    @dataclass
    class Block:
        key: int = setting(3, "prior", "a number", whole=True)

    assert Block().key == 3
    assert fields(Block)[0].metadata["rule"] == SettingRule("prior", "a number", whole=True)


def test_words_of_the_command_line():
    assert [spell(value) for value in (None, True, 5e-6, "ce")] == ["none", "true", "5e-06", "ce"]


@pytest.mark.parametrize(
    ("value", "factors"), [("4,5,6", (4, 5, 6)), ([6, 4], (4, 6)), (5, (5,)), ("8", (8,)), ("5, 4", (4, 5))]
)
def test_factors(value, factors):
    assert read_factors(value) == factors


@pytest.mark.parametrize(
    ("value", "message"),
    [
        *((number, "2 or more") for number in (1, "1,2")),
        ("4,4", "twice"),
        ([4.5], "whole number"),
        *(
            (nothing, "^$") for nothing in (True, None, {}, "nan", [], "", "4,,5", "4;5")
        ),  # the setting's rule says what is allowed
    ],
)
def test_no_factors(value, message):
    with pytest.raises(ValueError, match=message):
        read_factors(value)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, (0, 0)), (2, (2, 2)), ("0,2", (0, 2)), ([-1.0, 2.0], (-1, 2)), ("-2", (-2, -2))]
)
def test_ranges(value, expected):
    assert read_range(value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1,2,3", "at most two"),
        ("2,1", "smaller one comes first"),
        *((nothing, "^$") for nothing in (True, None, "inf", [], "", "a")),
    ],
)
def test_no_ranges(value, message):
    with pytest.raises(ValueError, match=message):
        read_range(value)
