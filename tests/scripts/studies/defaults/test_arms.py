"""`scripts/studies/defaults/arms.py`: arms hang together, and differ from their baseline in one thing."""

from pathlib import Path

import pytest

from acnn_nnunet.nnunet.settings import Settings
from scripts.studies.defaults import arms
from scripts.studies.defaults.arms import ARMS, BASELINES, PRIORS, STUDIES
from scripts.studies.defaults.workplace import Workplace


def effective(arm: str) -> dict:
    """Return what an arm's settings come to, but for the name of their preset, and the shape of their prior."""
    block = Workplace("hippocampus", Path()).settings_of(arm, 0)
    own = vars(Settings.from_block(block))
    return {key: value for key, value in own.items() if key not in ("preset", "grid", "code_size")}


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_has_a_prior_where_it_weighs_one(arm):
    prior = ARMS[arm].get("prior_of")

    assert (prior in PRIORS) == (ARMS[arm].get("prior_weight") != 0)
    if prior:
        own, of_prior = effective(arm), Settings.from_block(PRIORS[prior].settings)
        assert own["segmentation_loss"] != "ce", "the mean over all voxels, which background rules"
        assert own["mirroring"] == of_prior.mirroring


_OF_PAPERS_PRIOR = {
    "prior_weight",
    "prior_weighting",
    "prior_distance",
    "prior_warm_up",
    "architecture",
    "reconstruction_loss",
    "clean_share",
}
# What each arm may differ in from its baseline: one thing, which is several settings where that is the prior.
_ONE_THING = {
    "none_unmirrored": {"mirroring"},
    "none_unmirrored_hidden": {"hidden_parts"},
    "none_unmirrored_hidden_quarter": {"hidden_parts"},
    "roi_0.3_decoded_unmirrored": {"prior_weight"},
    "roi_0.3_decoded_unmirrored_hidden": {"prior_weight"},
    "roi_0.3_decoded_unmirrored_hidden_quarter": {"prior_weight"},
    "hybrid_pc_unmirrored": {"prior_weight"},
    "hybrid_pc_outside_unmirrored": {"outside_weight"},
    "hybrid_pc_outside_0.3_unmirrored": {"outside_weight"},
    "hybrid_pc_1.0_outside_unmirrored": {"prior_weight"},
    **{arm: set() for arm in (*arms.ADJUSTED, arms.MIRRORED_PREDICTION)},  # but for the logits of the same network
    "paper_unmirrored": _OF_PAPERS_PRIOR,
    "paper_ratio_0.1_unmirrored": _OF_PAPERS_PRIOR - {"prior_weighting"},
    "paper_box_outside_30_unmirrored": _OF_PAPERS_PRIOR | {"outside_weight"},  # two things: it failed
}


@pytest.mark.parametrize("arm", BASELINES)
def test_an_arm_differs_from_its_baseline_in_one_thing(arm):
    own, baseline = effective(arm), effective(BASELINES[arm])

    assert {key for key in own if own[key] != baseline[key]} == _ONE_THING[arm]


def test_no_kind_that_decides_is_shown_in_training():
    assert set(arms.DECIDING) | set(arms.CONFIRMING) == set(arms.KINDS)
    assert not set(arms.DECIDING) & set(arms.CONFIRMING)
    # hidden_parts hides slabs and slices; nnU-Net's augmentation adds noise, blur, gamma and low resolution.
    shown = {"slab", "dropped", "noise", "torchio_noise", "torchio_blur", "torchio_gamma", "torchio_anisotropy"}
    assert shown <= set(arms.CONFIRMING)


def test_lines_vary_the_number_of_cases_or_of_steps():
    found = arms.lines(STUDIES["hippocampus"])

    # Five arms that neither mirror nor hide parts, each with four other sizes and two other numbers of steps. Two of
    # them have their logits adjusted as well, with each size.
    assert len(found) == 5 * (4 + 2) + 2 * 4
    assert found["hybrid_pc_unmirrored_n5"] == {
        **ARMS["hybrid_pc_unmirrored"],
        "prior_of": "roi20_unmirrored_n5",
        "num_train": 5,
    }
    assert found["hybrid_pc_unmirrored_n5_adjusted"] == {
        **found["hybrid_pc_unmirrored_n5"],
        "network_of": "hybrid_pc_unmirrored_n5",
        "logits": arms.LOGITS_ADJUSTED,
    }
    assert found["none_unmirrored_x16"] == {**ARMS["none_unmirrored"], "steps": 16}
