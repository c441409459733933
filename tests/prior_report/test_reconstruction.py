"""Scores of reconstructions, averaged by hand."""

from acnn_nnunet.prior_report.reconstruction import summarise_scores


def test_scores_are_averaged_over_cases_that_have_the_label():
    def case(dice, status="ok"):
        return {"autoencoder": {"a": {"status": status, "dice": dice, "hausdorff_mm": None if dice is None else 4.0}}}

    summary = summarise_scores({"x": case(0.5), "y": case(0.0, "missed"), "z": case(None, "both_empty"), "w": case(1)})
    label = summary["per_label"]["autoencoder"]["a"]
    assert label == {"dice": 0.5, "hausdorff_mm": 4.0, "cases": 3, "missed": 1}
    assert summary["ranking"] == ["w", "x", "y"]


def test_nothing_is_known_of_a_label_that_no_case_has():
    absent = {"status": "both_empty", "dice": None, "hausdorff_mm": None}

    summary = summarise_scores({"x": {"autoencoder": {"a": absent}}})

    assert summary["per_label"]["autoencoder"]["a"] == {"dice": None, "hausdorff_mm": None, "cases": 0, "missed": 0}
    assert (summary["mean"]["autoencoder"], summary["ranking"]) == ({"dice": None, "hausdorff_mm": None}, [])
