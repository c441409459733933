"""The `acnn` block: defaults, preset, and what is refused."""

import pytest

from acnn_nnunet.nnunet.settings import Settings, describe_key, list_keys, parse_assignments, rules


def test_without_a_block_defaults_apply():
    assert Settings.from_configuration({"patch_size": [1, 2, 3]}) == Settings()


def test_the_paper_preset_and_what_overrides_it():
    paper = Settings.from_block({"preset": "paper"})
    assert (paper.prior_weight, paper.weight_decay, paper.prior_warm_up) == (0.01, 5e-6, 0)
    assert (paper.prior_distance, paper.prior_weighting, paper.segmentation_loss) == ("l2", "constant", "ce")
    assert paper.architecture == "cnn"
    assert (paper.code_size, paper.label_swap_probability, paper.reconstruction_loss) == (64, 0.1, "ce")
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


def test_words_of_a_command_line():
    words = ["num_epochs=5", "prior_weight=0.2", "cpu_autocast=True", "prior=/a/b=c.pth", "seed=none"]
    assert parse_assignments(words) == {
        "num_epochs": 5,
        "prior_weight": 0.2,
        "cpu_autocast": True,
        "prior": "/a/b=c.pth",
        "seed": None,
    }


@pytest.mark.parametrize("word", ["num_epochs", "num_epochs=ten", "epochs=3"])
def test_bad_words(word):
    with pytest.raises(ValueError, match=word.split("=")[0]):
        parse_assignments([word])


def test_the_default_distance_goes_with_the_autoencoder():
    assert Settings().prior_distance == "decoded"
    assert Settings.from_block({"architecture": "cnn"}).prior_distance == "whitened"
    with pytest.raises(ValueError, match="decoded goes with architecture=hybrid alone"):
        Settings.from_block({"architecture": "cnn", "prior_distance": "decoded"})


def test_the_help_of_a_key():
    assert describe_key("prior_weight").splitlines() == [
        "prior_weight: λ1, the prior's weight; 0 trains without a prior",
        "  default   0.3",
        "  allowed   number ≥ 0",
        "  concerns  loss",
        "  preset    paper: 0.01",
    ]
    assert "  default   none (nnU-Net's 1000)" in describe_key("num_epochs").splitlines()
    with pytest.raises(ValueError, match="unknown key 'epochs', allowed are preset, num_epochs"):
        describe_key("epochs")


def test_all_keys_in_short():
    assert "  grid=patch  (patch, roi)" in list_keys().splitlines()
    assert len(list_keys().splitlines()) == 1 + len(rules())


@pytest.mark.parametrize("key", rules())
def test_every_key_says_whom_it_concerns_and_its_help_fits_a_terminal(key):
    assert rules()[key].concerns in ("trainer", "prior", "loss", "thick slices")
    assert max(map(len, describe_key(key).splitlines())) <= 100
