"""What a setting accepts, and in which words it says so."""

from dataclasses import dataclass, fields

import pytest

from acnn_nnunet.nnunet.setting_rules import RULE, SettingRule, setting, spell

NUMBER = SettingRule("", "loss", high=1.0)
COUNT = SettingRule("", "loss", whole=True, low=1, unset="as many as nnU-Net")
CHOICE = SettingRule("", "loss", choices=("auto", True, False))
SWITCH = SettingRule("", "loss", choices=(True, False))
FILE = SettingRule("", "loss", path_of="a prior file")


@pytest.mark.parametrize(
    ("rule", "values"),
    [(NUMBER, [0, 0.5, 1]), (COUNT, [None, 1, 10**9]), (CHOICE, ["auto", True]), (SWITCH, [False]), (FILE, ["a"])],
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
        (SettingRule("", "loss"), float("inf"), "key must be finite, got inf"),
        (COUNT, 0, "key must be an integer of at least 1, got 0"),
        (COUNT, 2.0, "key must be an integer of at least 1, got 2.0"),
        (CHOICE, 1, "key must be one of auto, true, false, got 1"),
        (CHOICE, [], r"key must be one of auto, true, false, got \[\]"),
        (SWITCH, 0, "key must be true or false, got 0"),
        (FILE, "", "key must be the path of a prior file, got ''"),
    ],
)
def test_what_is_refused(rule, value, message):
    with pytest.raises(ValueError, match=message):
        rule.check("key", value)


def test_the_accepted_values_in_words():
    rules = (NUMBER, COUNT, CHOICE, FILE)
    words = ["number from 0 to 1", "integer ≥ 1, none", "auto, true, false", "path of a prior file"]
    assert [rule.allowed for rule in rules] == words


def test_a_field_carries_its_rule():
    @dataclass
    class Block:
        key: int = setting(3, "a number", concerns="prior", whole=True)

    assert Block().key == 3
    assert fields(Block)[0].metadata[RULE] == SettingRule("a number", "prior", whole=True)


def test_words_of_the_command_line():
    assert [spell(value) for value in (None, True, 5e-6, "ce")] == ["none", "true", "5e-06", "ce"]
