"""Shares and captions of a prior's page."""

from acnn_nnunet.prior_report.page import _case_dice, _density


def test_shares_of_nothing_are_zero():
    assert _density([1, 3]).tolist() == [0.25, 0.75]
    assert _density([0, 0]).tolist() == [0, 0]


def test_a_caption_leaves_labels_out_that_are_absent():
    scores = {"autoencoder": {"a": {"dice": 0.5}, "b": {"dice": 1.0}, "c": {"dice": None}}}
    assert _case_dice({"reconstruction": {"cases": {"x": scores}}}, "x") == "0.750 (autoencoder)"
    nothing = {"pca": {"a": {"dice": None}}}
    assert _case_dice({"reconstruction": {"cases": {"x": nothing}}}, "x") == "– (PCA)"
