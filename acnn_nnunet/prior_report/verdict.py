"""From a prior's measures to what to do about it. Thresholds are those of docs/reference/prior_report.md."""

import math
from dataclasses import dataclass
from typing import Any

from acnn_nnunet.shape_prior.prior_file import UNLEARNT_DICE

OK, WARNING, BAD = "ok", "warning", "bad"
USE, CARE, DO_NOT_USE = "use it", "use with care", "do not use"

RECONSTRUCTION_DICE = (0.90, 0.80)
LEAD_OVER_PCA = (0.0, -0.05)
LABEL_DICE = (0.80, UNLEARNT_DICE)
MISSED_SHARE = (0.0, 0.1)
ACTIVE_SHARE = (0.5, 0.1)
EFFECTIVE_RANK = (4.0, 2.0)
SPEARMAN = (0.9, 0.7)
BLIND = 0.1
CLEARLY_BETTER = 0.05
DROWNING_RATIO = 10.0
CUT_OFF_SHARE = 0.5
MASKED_SHARE = (0.5, 0.95)
OUTSIDE_SHARE = 0.02
PREDICTOR_ERROR = 0.5
FEW_CASES = 5


@dataclass(frozen=True)
class Check:
    """One question about a prior and its answer.

    Attributes:
        name: what was looked at.
        state: "ok", "warning" or "bad".
        sentence: what was found, with its numbers.
        remedy: what to do about it; empty where nothing is to be done.
        counts: whether it enters the verdict.
    """

    name: str
    state: str
    sentence: str
    remedy: str = ""
    counts: bool = True


def judge(report: dict[str, Any]) -> list[Check]:
    """Return all checks of a report's measures."""
    return [
        _reconstruction(report),
        _against_pca(report),
        _labels(report),
        _code(report),
        _distance(report),
        _gradient(report),
        _patches(report),
        *_predictor(report),
        *_cases(report),
    ]


def how_to_change(report: dict[str, Any], checks: list[Check]) -> str:
    """Return how to try the settings that the checks name, "" where all are ok."""
    if all(check.state == OK for check in checks):
        return ""
    where = report["where"]
    return (
        f"acnn-nnunet configure {where['id']} -c {where['configuration']} -n NEW{where['plans_flag']} key=value …, "
        f"then {where['new_command']} and this report for NEW."
    )


def overall(checks: list[Check]) -> str:
    """Return the verdict: "do not use" where a check is bad, "use with care" where one warns, else "use it"."""
    states = {check.state for check in checks if check.counts}
    return DO_NOT_USE if BAD in states else CARE if WARNING in states else USE


def verdict_text(report: dict[str, Any]) -> str:
    """Return the verdict for a terminal: every check on a line, what to do, and the overall line."""
    verdict, lines = report["verdict"], []
    for check in verdict["checks"]:
        lines.append(f"{check['state']:8}{check['name']}: {check['sentence']}")
        if check["remedy"] and check["state"] != OK:
            lines.append(f"{'':8}{check['remedy']}")
    if verdict["how"]:
        lines.append(f"settings: {verdict['how']}")
    return "\n".join([*lines, f"verdict: {verdict['overall']}"])


def _reconstruction(report: dict[str, Any]) -> Check:
    dice = report["reconstruction"]["mean"]["autoencoder"]["dice"]
    if dice is None:
        return Check("reconstruction", BAD, "No held-out case has any label.", "Check the labels of the fold's cases.")
    return Check(
        "reconstruction",
        _state(dice, RECONSTRUCTION_DICE),
        f"Held-out labels are reconstructed at Dice {dice:.3f}: a network learns little from a prior that knows the "
        f"anatomy no better than the network itself segments it.",
        _train_longer(report),
    )


def _against_pca(report: dict[str, Any]) -> Check:
    means, pca = report["reconstruction"]["mean"], report["reconstruction"]["pca"]
    mine, linear = means["autoencoder"]["dice"], means["pca"]["dice"]
    size = report["prior"]["code_size"]
    short = "" if pca["components"] == size else f" ({pca['cases']} cases allow no more)"
    if mine is None or linear is None:
        return Check("against PCA", WARNING, "There is no reconstruction to compare.")
    return Check(
        "against PCA",
        _state(mine - linear, LEAD_OVER_PCA),
        f"The autoencoder with {size} numbers reaches Dice {mine:.3f}; PCA with {pca['components']}{short}, fitted to "
        f"the same cases without augmentation, {linear:.3f}.",
        _train_longer(report),
    )


def _labels(report: dict[str, Any]) -> Check:
    labels = report["reconstruction"]["per_label"]["autoencoder"]
    scored = {name: label for name, label in labels.items() if label["dice"] is not None}
    absent = report["prior"]["absent_labels"]
    unseen = [name for name in labels if name not in scored and name not in absent]
    if not scored:
        return Check("every label", BAD, "No held-out case has any label.", "Check the labels of the fold's cases.")
    name, worst = min(scored.items(), key=lambda item: item[1]["dice"])
    missed_share = max(label["missed"] / label["cases"] for label in scored.values())
    state = _worst(_state(worst["dice"], LABEL_DICE), _state(-missed_share, tuple(-limit for limit in MISSED_SHARE)))
    sentence = f"The hardest label is {name}, Dice {worst['dice']:.3f}."
    if missed_share > 0:
        missed = ", ".join(f"{key} in {label['missed']}" for key, label in scored.items() if label["missed"])
        sentence += (
            f" Reconstructions lose a label altogether: {missed} of {len(report['reconstruction']['cases'])} cases."
        )
    if absent:
        sentence += f" The prior knows nothing of {', '.join(absent)}: no training case has it."
    if unseen:
        sentence += f" How well it knows {', '.join(unseen)} is not measured: no held-out case has it."
    if absent or unseen:
        state = _worst(state, WARNING)
    remedy = "Small labels need a finer grid (grid=roi) or a longer training; labels without cases need cases."
    return Check("every label", state, sentence, remedy)


def _code(report: dict[str, Any]) -> Check:
    codes = report["codes"]
    most = min(codes["size"], codes["num_codes"] - 1)
    state = _worst(
        _state(codes["active_dimensions"] / codes["size"], ACTIVE_SHARE),
        _state(codes["effective_rank"], EFFECTIVE_RANK),
    )
    return Check(
        "use of the code",
        state,
        f"{codes['active_dimensions']} of {codes['size']} dimensions are active, the effective rank is "
        f"{codes['effective_rank']:.1f} of at most {most}; {codes['normal_dimensions']} look normal, "
        f"{codes['multimodal_dimensions']} multimodal.",
        f"A code that hardly moves cannot tell shapes apart. {_train_longer(report)}",
    )


def _distance(report: dict[str, Any]) -> Check:
    used, measured = report["settings"]["prior_distance"], report["code_distance"]
    answers = {kind: measures[used] for kind, measures in measured["defects"].items()}
    rho = {kind: -1.0 if answer["spearman"] is None else answer["spearman"] for kind, answer in answers.items()}
    between = measured["between_cases"][used]
    amounts = {kind: answer["means"][-1] / between for kind, answer in answers.items()} if between else {}
    lost = [kind for kind, answer in answers.items() if rho[kind] < SPEARMAN[0] or not answer["monotone"]]
    blind = [kind for kind, amount in amounts.items() if amount < BLIND]
    state = WARNING if lost or blind else OK
    if 2 * sum(value < SPEARMAN[1] for value in rho.values()) >= len(rho):
        state = BAD
    lowest = min(rho, key=lambda kind: rho[kind])
    sentence = (
        f"The {used} code distance rises with the defect in {len(rho) - len(lost)} of {len(rho)} kinds, lowest "
        f"Spearman {rho[lowest]:.2f} ({lowest})"
    )
    if amounts:
        weakest = min(amounts, key=lambda kind: amounts[kind])
        sentence += f"; at the greatest strength the weakest is {amounts[weakest]:.2g} of the distance of two cases"
        sentence += f" ({weakest})."
    else:
        sentence += "; no two held-out cases differ, to compare it with."
    if lost:
        sentence += f" It does not follow: {', '.join(lost)}."
    if blind:
        sentence += f" It hardly sees: {', '.join(blind)}."
    best = max(measured["between_cases"], key=lambda distance: _mean_spearman(report, distance))
    hint = (
        f"prior_distance={best} follows better here. "
        if _mean_spearman(report, best) > _mean_spearman(report, used) + CLEARLY_BETTER
        else ""
    )
    remedy = f"{hint}Try a larger code_size, or more prior_num_epochs."
    return Check("distance follows defects", state, sentence, remedy)


def _gradient(report: dict[str, Any]) -> Check:
    gradient, settings = report["gradient"], report["settings"]
    norms = {
        (term, prediction): values["norms"][term]
        for prediction, values in gradient["predictions"].items()
        for term in gradient["terms"]
    }
    dead = [
        f"{term} at a {name.replace('_', '-')} prediction" for (term, name), norm in norms.items() if not _alive(norm)
    ]
    if dead:
        return Check(
            "gradient",
            BAD,
            f"The prior's gradient at the logits is zero or not finite: {', '.join(dead)}.",
            _train_longer(report),
        )
    lowest, highest = min(norms.values()), max(norms.values())
    sentence = f"The prior's gradient at the logits is there and finite, norms {lowest:.2g} to {highest:.2g}."
    if settings["prior_weighting"] == "constant":
        ratios = [values["ratio_of_the_weighted_sum"] for values in gradient["predictions"].values()]
        ratio = settings["prior_weight"] * max(r for r in ratios if r is not None)
        sentence += (
            f" Times the weight of {settings['prior_weight']:g}, it is up to {ratio:.2g} of the segmentation loss's."
        )
        if ratio > DROWNING_RATIO:
            remedy = (
                "The prior drowns the segmentation loss: prior_weighting=gradient_ratio, or a smaller prior_weight."
            )
            return Check("gradient", WARNING, sentence, remedy)
    return Check("gradient", OK, sentence)


def _patches(report: dict[str, Any]) -> Check:
    patches, grid = report["training_patches"], report["prior"]["grid"]
    if patches["with_anatomy"] == 0:
        return Check(
            "anatomy in training patches", BAD, f"None of {patches['patches']} training patches holds any anatomy."
        )
    cut_off, outside = patches["cut_off_share"], patches["outside_share"]
    sentence = (
        f"{cut_off:.0%} of the {patches['with_anatomy']} training patches with anatomy, of {patches['patches']} drawn, "
        f"cut it off."
    )
    if grid == "roi":
        state = _state(-patches["masked_anatomy_share"], tuple(-limit for limit in MASKED_SHARE))
        state = _worst(state, WARNING if outside > OUTSIDE_SHARE else OK)
        sentence += f" Those do not count; of the others {outside:.1%} of the anatomy lies beyond the box."
        return Check(
            "anatomy in training patches",
            state,
            sentence,
            "Plan a larger patch or a coarser spacing (nnUNetv2_plan_experiment), or raise roi_margin.",
        )
    return Check(
        "anatomy in training patches",
        WARNING if cut_off > CUT_OFF_SHARE else OK,
        sentence,
        "The prior compares pieces of the anatomy: a larger patch or a coarser spacing shows it whole.",
    )


def _predictor(report: dict[str, Any]) -> list[Check]:
    if report["predictor"] is None:
        return []
    relative = report["predictor"][report["settings"]["prior_distance"]]["relative"]
    dice = report["reconstruction"]["mean"]["predictor"]["dice"]
    if relative is None or dice is None:
        return []
    return [
        Check(
            "predictor",
            OK if relative <= PREDICTOR_ERROR else WARNING,
            f"Codes predicted from images are {relative:.2f} as far from the labels' codes as their mean is; decoded, "
            f"Dice {dice:.3f}. It serves super-resolution and the T-L network's own segmentation, not ACNNTrainer's "
            f"loss.",
            _train_longer(report),
            counts=False,
        )
    ]


def _cases(report: dict[str, Any]) -> list[Check]:
    count = len(report["reconstruction"]["cases"])
    if count >= FEW_CASES:
        return []
    sentence = f"The fold has {count} held-out cases: the numbers above are uncertain."
    return [Check("number of cases", WARNING, sentence, "Report other folds too.")]


def _train_longer(report: dict[str, Any]) -> str:
    settings, size = report["settings"], report["prior"]["code_size"]
    epochs = settings["prior_num_epochs"]
    deform = "" if settings["elastic_deformation"] else "deform the label maps (elastic_deformation=3), "
    return (
        f"Train longer (prior_num_epochs={3 * epochs} instead of {epochs}), {deform}"
        f"or take a larger code (code_size={2 * size})."
    )


def _mean_spearman(report: dict[str, Any], distance: str) -> float:
    values = [measures[distance]["spearman"] for measures in report["code_distance"]["defects"].values()]
    return sum(-1.0 if value is None else value for value in values) / len(values)


def _state(value: float, limits: tuple[float, ...]) -> str:
    """Return ok from the first limit on, warning from the second on, else bad."""
    good, fair = limits
    return OK if value >= good else WARNING if value >= fair else BAD


def _worst(*states: str) -> str:
    return max(states, key=(OK, WARNING, BAD).index)


def _alive(norm: float) -> bool:
    return math.isfinite(norm) and norm > 0
