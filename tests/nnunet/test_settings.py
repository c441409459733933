"""The `acnn` block: defaults, preset, and what is refused."""

from dataclasses import fields

import pytest

from acnn_nnunet.nnunet.settings import Settings, bad_settings_named, rule_of, rules


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
        ({"feature_weight": 1.0}, "the setting 'feature_weight' was removed"),
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
        ({"outside_weight": -1}, "outside_weight must be a number of at least 0, got -1"),
        ({"slice_motion_mm": -1}, "slice_motion_mm must be a number of at least 0, got -1"),
        ({"slice_rotation_deg": 181}, "slice_rotation_deg must be a number between 0 and 180, got 181"),
        ({"hidden_parts": "some"}, "hidden_parts must be a number between 0 and 1 or auto, got 'some'"),
        ({"hidden_parts": 1.5}, "hidden_parts must be a number between 0 and 1 or auto, got 1.5"),
        ({"mirroring": "x"}, "mirroring must be axes such as 0,1 or one of auto, true, false, got 'x'"),
        ({"mirroring": -1}, "mirroring must be axes such as 0,1 or one of auto, true, false, got -1"),
        ({"mirroring": "1,1"}, "got '1,1' (an axis comes twice)"),
        ({"mirrored_labels": "left"}, "mirrored_labels must be pairs such as left:right or 1:2,3:4, got 'left'"),
        ({"mirrored_labels_axis": "x"}, "mirrored_labels_axis must be an integer of at least 0, got 'x'"),
        ({"prior_weight": "1"}, "prior_weight must be a number of at least 0, got '1'"),
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


@pytest.mark.parametrize(
    ("block", "with_prior", "axes"),
    [
        ({}, True, ()),
        ({"prior_weight": 0.0}, True, (0, 1, 2)),  # the prior weighs nothing
        ({}, False, (0, 1, 2)),
        ({"mirroring": True}, True, (0, 1, 2)),
        ({"mirroring": False, "prior_weight": 0.0}, False, ()),
        ({"mirroring": 0}, True, (0,)),
        ({"mirroring": "0,2", "prior_weight": 0.0}, True, (0, 2)),
        ({"mirroring": [1]}, False, (1,)),
    ],
)
def test_a_prior_forbids_mirroring_unless_it_is_asked_for(block, with_prior, axes):
    mirroring = Settings.from_block(block).plan_mirroring(with_prior=with_prior, num_axes=3, labels={})

    assert (mirroring.axes, mirroring.swap_axis) == (axes, None)


def test_labels_that_change_places_need_an_axis_and_not_the_automatic_choice():
    labels = {"background": 0, "left": 1, "right": 2}
    settings = Settings(mirroring=2, mirrored_labels="left:right")
    assert settings.plan_mirroring(with_prior=True, num_axes=3, labels=labels).swaps == {1: 2, 2: 1}
    for with_prior in (True, False):
        with pytest.raises(ValueError, match=r"^mirrored_labels=left:right needs mirroring along an axis"):
            Settings(mirrored_labels="left:right").plan_mirroring(with_prior=with_prior, num_axes=3, labels=labels)


@pytest.mark.parametrize(
    ("block", "share"),
    [
        ({"hidden_parts": 0.25}, 0.25),
        ({"hidden_parts": 0.25, "prior_weight": 0}, 0.25),
        ({"hidden_parts": "auto"}, 0.5),
        ({"hidden_parts": "auto", "prior_weight": 0}, 0.0),
        ({"preset": "paper"}, 0.0),  # the paper hides nothing
    ],
)
def test_automatic_hiding_leaves_a_training_without_a_prior_to_the_host(block, share):
    assert Settings.from_block(block).hidden_share == share


def test_a_bad_setting_is_named_with_its_block():
    with (
        pytest.raises(ValueError, match=r"^Bad setting in the 'acnn' block of plans X: no such axis\.$"),
        bad_settings_named("plans X"),
    ):
        raise ValueError("no such axis")


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
