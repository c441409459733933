"""From measures to a verdict: each threshold from both sides."""

import copy

import pytest

from acnn_nnunet.prior_report.verdict import BAD, OK, WARNING, how_to_change, judge, overall, verdict_text


def label(dice, *, missed=0, cases=10):
    return {"dice": dice, "hausdorff_mm": 2.0, "cases": cases, "missed": missed}


def answer(*, top=5.0, spearman=1.0, monotone=True):
    return {"means": [0.0, top], "spearman": spearman, "monotone": monotone}


def gradient(norm=1.0, ratio=2.0):
    return {"norms": {"segmentation_loss": 0.5, "distance": norm}, "ratio_of_the_weighted_sum": ratio}


GOOD = {
    "where": {"id": 4, "configuration": "3d_fullres", "plans_flag": "", "new_command": "nnUNetv2_train 4 NEW 0"},
    "prior": {"code_size": 64, "absent_labels": [], "grid": "patch"},
    "settings": {
        "prior_num_epochs": 13,
        "elastic_deformation": 0.0,
        "prior_weight": 0.3,
        "prior_weighting": "gradient_ratio",
        "prior_distance": "whitened",
    },
    "reconstruction": {
        "mean": {"autoencoder": {"dice": 0.92}, "pca": {"dice": 0.91}, "predictor": {"dice": 0.8}},
        "per_label": {"autoencoder": {"a": label(0.95), "b": label(0.89)}},
        "pca": {"components": 64, "cases": 160},
        "cases": dict.fromkeys("abcdefghij"),
    },
    "codes": {
        "size": 64,
        "num_codes": 200,
        "active_dimensions": 60,
        "effective_rank": 20.0,
        "normal_dimensions": 50,
        "multimodal_dimensions": 1,
    },
    "code_distance": {
        "between_cases": {"l2": 10.0, "whitened": 10.0},
        "defects": {kind: {"l2": answer(), "whitened": answer()} for kind in ("grown", "swapped", "moved")},
    },
    "predictor": {"l2": {"relative": 0.4}, "whitened": {"relative": 0.4}},
    "gradient": {"terms": ["distance"], "predictions": {"near_perfect": gradient(), "uniform": gradient()}},
    "training_patches": {
        "patches": 200,
        "with_anatomy": 180,
        "cut_off_share": 0.1,
        "masked_anatomy_share": 0.1,
        "outside_share": 0.001,
    },
}


def changed(**paths):
    """Return the good report with values replaced at paths such as `codes__effective_rank`."""
    report = copy.deepcopy(GOOD)
    for path, value in paths.items():
        *parents, last = path.split("__")
        place = report
        for key in parents:
            place = place[key]
        place[last] = value
    return report


def states(report):
    return {check.name: check.state for check in judge(report)}


def test_a_good_prior_is_to_be_used():
    checks = judge(GOOD)
    assert {check.state for check in checks} == {OK}
    assert overall(checks) == "use it"
    assert how_to_change(GOOD, checks) == ""


@pytest.mark.parametrize(
    ("check", "changes", "state"),
    [
        ("reconstruction", {"reconstruction__mean__autoencoder__dice": 0.899}, WARNING),
        ("reconstruction", {"reconstruction__mean__autoencoder__dice": 0.799}, BAD),
        ("reconstruction", {"reconstruction__mean__autoencoder__dice": None}, BAD),
        ("against PCA", {"reconstruction__mean__pca__dice": 0.93}, WARNING),
        ("against PCA", {"reconstruction__mean__pca__dice": 0.98}, BAD),
        ("every label", {"reconstruction__per_label__autoencoder__b": label(0.79)}, WARNING),
        ("every label", {"reconstruction__per_label__autoencoder__b": label(0.49)}, BAD),
        ("every label", {"reconstruction__per_label__autoencoder__b": label(0.89, missed=1)}, WARNING),
        ("every label", {"reconstruction__per_label__autoencoder__b": label(0.89, missed=2)}, BAD),
        ("every label", {"reconstruction__per_label__autoencoder__b": label(None, cases=0)}, WARNING),
        ("every label", {"prior__absent_labels": ["c"]}, WARNING),
        ("use of the code", {"codes__active_dimensions": 31}, WARNING),
        ("use of the code", {"codes__active_dimensions": 6}, BAD),
        ("use of the code", {"codes__effective_rank": 3.9}, WARNING),
        ("use of the code", {"codes__effective_rank": 1.9}, BAD),
        ("distance follows defects", {"code_distance__defects__grown__whitened": answer(spearman=0.89)}, WARNING),
        ("distance follows defects", {"code_distance__defects__grown__whitened": answer(monotone=False)}, WARNING),
        ("distance follows defects", {"code_distance__defects__grown__whitened": answer(top=0.9)}, WARNING),
        ("distance follows defects", {"code_distance__defects__grown__l2": answer(spearman=0.0)}, OK),
        (
            "distance follows defects",
            {f"code_distance__defects__{kind}__whitened": answer(spearman=None) for kind in ("grown", "moved")},
            BAD,
        ),
        ("gradient", {"gradient__predictions__uniform": gradient(0.0)}, BAD),
        ("gradient", {"gradient__predictions__uniform": gradient(float("nan"))}, BAD),
        ("gradient", {"gradient__predictions__uniform": gradient(ratio=1e4)}, OK),
        (
            "gradient",
            {"gradient__predictions__uniform": gradient(ratio=40.0), "settings__prior_weighting": "constant"},
            WARNING,  # 0.3 · 40 = 12
        ),
        ("anatomy in training patches", {"training_patches__cut_off_share": 0.51}, WARNING),
        ("anatomy in training patches", {"training_patches__with_anatomy": 0}, BAD),
        ("anatomy in training patches", {"prior__grid": "roi", "training_patches__outside_share": 0.03}, WARNING),
        ("anatomy in training patches", {"prior__grid": "roi", "training_patches__masked_anatomy_share": 0.96}, BAD),
        ("number of cases", {"reconstruction__cases": dict.fromkeys("abcd")}, WARNING),
    ],
)
def test_each_threshold(check, changes, state):
    report = changed(**changes)
    assert states(report)[check] == state
    assert overall(judge(report)) == {OK: "use it", WARNING: "use with care", BAD: "do not use"}[state]


def test_the_predictor_warns_and_does_not_count():
    report = changed(predictor__whitened={"relative": 0.9})
    assert states(report)["predictor"] == WARNING
    assert overall(judge(report)) == "use it"
    assert "predictor" not in states(changed(predictor=None))


def test_the_other_distance_is_named_where_it_is_clearly_better():
    report = changed(code_distance__defects__grown__whitened=answer(spearman=0.5))
    (check,) = (check for check in judge(report) if check.name == "distance follows defects")
    assert "prior_distance=l2 follows better" in check.remedy
    assert "grown" in check.sentence


def test_the_text_names_what_is_wrong_what_to_do_and_how():
    report = changed(reconstruction__mean__autoencoder__dice=0.75)
    checks = judge(report)
    report["verdict"] = {
        "overall": overall(checks),
        "how": how_to_change(report, checks),
        "checks": [vars(check) for check in checks],
    }
    lines = verdict_text(report).splitlines()
    assert lines[0].startswith("bad     reconstruction: Held-out labels are reconstructed at Dice 0.750")
    assert "prior_num_epochs=39 instead of 13" in lines[1]
    assert "acnn-nnunet configure 4 -c 3d_fullres -n NEW key=value" in lines[-2]
    assert lines[-1] == "verdict: do not use"


@pytest.mark.parametrize(("deformed", "named"), [(0.0, True), (2.0, False)])
def test_deformation_is_a_remedy_where_there_is_none(deformed, named):
    check = check_of(changed(settings__elastic_deformation=deformed), "reconstruction")

    assert ("elastic_deformation=3" in check.remedy) == named


def check_of(report, name):
    return next(check for check in judge(report) if check.name == name)


def test_one_missing_score_leaves_nothing_to_compare_with_pca():
    check = check_of(changed(reconstruction__mean__pca__dice=None), "against PCA")

    assert (check.state, check.sentence) == (WARNING, "There is no reconstruction to compare.")


def test_pca_of_few_cases_says_why_it_is_small():
    check = check_of(changed(reconstruction__pca={"components": 9, "cases": 10}), "against PCA")

    assert "PCA with 9 (10 cases allow no more), fitted to the same cases" in check.sentence


def test_without_any_label_the_prior_is_not_to_be_used():
    report = changed(reconstruction__per_label__autoencoder={"a": label(None, cases=0)})

    assert check_of(report, "every label").state == BAD
    assert overall(judge(report)) == "do not use"


def test_a_label_that_no_case_has_is_named_once():
    report = changed(
        prior__absent_labels=["b"], reconstruction__per_label__autoencoder={"a": label(0.9), "b": label(None, cases=0)}
    )

    assert "The prior knows nothing of b: no training case has it." in check_of(report, "every label").sentence


def test_a_label_that_held_out_cases_lack_is_not_called_unknown():
    report = changed(reconstruction__per_label__autoencoder={"a": label(0.9), "b": label(None, cases=0)})

    sentence = check_of(report, "every label").sentence
    assert sentence.endswith("How well it knows b is not measured: no held-out case has it.")


def test_labels_that_are_lost_are_counted():
    sentence = check_of(
        changed(reconstruction__per_label__autoencoder__b=label(0.89, missed=2)), "every label"
    ).sentence

    assert "Reconstructions lose a label altogether: b in 2 of 10 cases." in sentence


@pytest.mark.parametrize("between", [0.0, None])
def test_one_held_out_case_and_cases_of_one_code_leave_no_distance_to_compare(between):
    report = changed(code_distance__between_cases={"l2": between, "whitened": between})

    check = check_of(report, "distance follows defects")
    assert check.state == OK
    assert check.sentence.endswith("Spearman 1.00 (grown); no two held-out cases differ, to compare it with.")


def test_a_gradient_that_is_dead_is_named_with_its_prediction():
    check = check_of(changed(gradient__predictions__near_perfect=gradient(0.0)), "gradient")

    assert "zero or not finite: distance at a near-perfect prediction." in check.sentence


def test_a_predictor_without_a_measure_is_not_judged():
    assert "predictor" not in states(changed(predictor__whitened={"relative": None}))
    assert "predictor" not in states(changed(reconstruction__mean__predictor__dice=None))


def test_no_checks_are_no_objection():
    assert overall([]) == "use it"


def test_a_verdict_without_remedies_is_a_line_a_check():
    checks = [vars(check) for check in judge(GOOD)]
    text = verdict_text({"verdict": {"overall": "use it", "how": "", "checks": checks}})

    assert len(text.splitlines()) == len(checks) + 1
