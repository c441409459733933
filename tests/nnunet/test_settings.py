"""The `acnn` block: defaults, preset, and what is refused."""

from dataclasses import dataclass, fields

import pytest

from acnn_nnunet.nnunet.settings import SettingRule, Settings, rule_of, rules, setting, spell


def test_without_a_block_defaults_apply():
    assert Settings.from_configuration({"patch_size": [1, 2, 3]}) == Settings()


def test_the_paper_preset_and_what_overrides_it():
    paper = Settings.from_block({"preset": "paper"})
    assert (paper.prior_weight, paper.weight_decay, paper.prior_warm_up) == (0.01, 5e-6, 0)
    assert (paper.prior_distance, paper.prior_weighting, paper.segmentation_loss) == ("l2", "constant", "ce_per_class")
    assert paper.architecture == "cnn"
    assert (paper.code_size, paper.label_swap_probability, paper.reconstruction_loss) == (64, 0.1, "ce_per_class")
    assert Settings.from_block({"preset": "paper", "prior_weight": 1}).prior_weight == 1


def test_settings_are_frozen():
    with pytest.raises(AttributeError):
        Settings().seed = 1


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"lambda": 1}, "unknown key 'lambda', allowed are preset, num_epochs"),
        ({"network_maps": "m"}, "the setting 'network_maps' was removed: take it out, allowed are preset, num_epochs"),
        ({"input_softening": 1.0}, "the setting 'input_softening' was removed"),
        ({"preset": "papper"}, "preset must be one of default, paper, got 'papper'"),
        ({"cpu_autocast": 1}, "cpu_autocast must be one of auto, true, false, got 1"),
        ({"num_epochs": 0}, "num_epochs must be an integer of at least 1, got 0"),
        ({"num_epochs": True}, "num_epochs must be an integer of at least 1, got True"),
        ({"seed": 1.5}, "seed must be an integer of at least 0, got 1.5"),
        ({"prior_weight": -0.1}, "prior_weight must be a number of at least 0, got -0.1"),
        ({"prior_weight": float("inf")}, "prior_weight must be finite"),
        ({"prior_weight": float("nan")}, "prior_weight must be a number of at least 0, got nan"),
        ({"prior_weight": None}, "prior_weight must be a number"),
        ({"prior_warm_up": 1.1}, "prior_warm_up must be a number between 0 and 1, got 1.1"),
        ({"deep_supervision": "yes"}, "deep_supervision must be true or false, got 'yes'"),
        ({"prior": ""}, "prior must be the path of a prior file"),
        ({"grid": "box"}, "grid must be one of patch, roi, got 'box'"),
        ({"architecture": "pca"}, "architecture must be one of cnn, hybrid, got 'pca'"),
        ({"roi_margin": 0.9}, "roi_margin must be a number of at least 1, got 0.9"),
        ({"roi_spacing_factor": 0}, "roi_spacing_factor must be a number of at least 0.25, got 0"),
        ({"outside_weight": 1}, "outside_weight needs grid=roi: with grid=patch the prior sees the whole patch"),
        ({"feature_weight": -1}, "feature_weight must be a number of at least 0, got -1"),
        ({"slice_motion_mm": -1}, "slice_motion_mm must be a number of at least 0, got -1"),
        ({"slice_rotation_deg": 181}, "slice_rotation_deg must be a number between 0 and 180, got 181"),
        ({"reconstruction_weight": "1"}, "reconstruction_weight must be a number of at least 0, got '1'"),
    ],
)
def test_bad_settings_are_refused_by_name(block, message):
    with pytest.raises(ValueError, match="in the 'acnn' block of plans X: ") as error:
        Settings.from_configuration({"acnn": block}, where="plans X")
    assert message in str(error.value)


def test_a_block_that_is_no_object():
    with pytest.raises(ValueError, match="must be a JSON object"):
        Settings.from_configuration({"acnn": [1]})


def test_the_default_distance_goes_with_the_autoencoder():
    assert Settings().prior_distance == "decoded"
    assert Settings.from_block({"architecture": "cnn"}).prior_distance == "whitened"
    with pytest.raises(ValueError, match="decoded goes with architecture=hybrid alone"):
        Settings.from_block({"architecture": "cnn", "prior_distance": "decoded"})


NUMBER = SettingRule("loss", "", high=1.0)
COUNT = SettingRule("loss", "", whole=True, low=1, unset="as many as nnU-Net")
CHOICE = SettingRule("loss", "", choices=("auto", True, False))
SWITCH = SettingRule("loss", "", choices=(True, False))
FILE = SettingRule("loss", "", path_of="a prior file")


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
        (SettingRule("loss", ""), float("inf"), "key must be finite, got inf"),
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
        key: int = setting(3, "prior", "a number", whole=True)

    assert Block().key == 3
    assert fields(Block)[0].metadata["rule"] == SettingRule("prior", "a number", whole=True)


def test_words_of_the_command_line():
    assert [spell(value) for value in (None, True, 5e-6, "ce")] == ["none", "true", "5e-06", "ce"]


@pytest.mark.parametrize(
    ("mirroring", "weight", "with_prior", "mirrors"),
    [
        ("auto", 0.3, True, False),
        ("auto", 0.0, True, True),  # the prior weighs nothing
        ("auto", 0.3, False, True),
        (True, 0.3, True, True),
        (False, 0.0, False, False),
    ],
)
def test_a_prior_forbids_mirroring_unless_it_is_asked_for(mirroring, weight, with_prior, mirrors):
    settings = Settings(mirroring=mirroring, prior_weight=weight)

    assert settings.mirrors(with_prior=with_prior) is mirrors


def test_every_field_has_a_rule_that_its_default_keeps():
    for key, rule in rules().items():
        rule.check(key, getattr(Settings(), key))
    assert list(rules()) == [field.name for field in fields(Settings)]


def test_an_unknown_key_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"^unknown key 'x', allowed are preset, .*slice_rotation_deg$"):
        rule_of("x")


def test_a_key_that_was_removed_says_so():
    with pytest.raises(ValueError, match=r"^the setting 'network_maps' was removed: take it out, allowed are preset"):
        rule_of("network_maps")


def test_the_decoded_distance_goes_with_the_hybrid_alone():
    with pytest.raises(ValueError, match=r"with architecture=cnn it must be one of l2, whitened$"):
        Settings(prior_distance="decoded", architecture="cnn")
