"""A classification on paper: `classification.json`, `predictions.csv`, one page, and a table to print."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from acnn_nnunet.evaluation.comparison.tables import format_p
from acnn_nnunet.files.safe_writes import make_output_folder, write_json, write_text
from acnn_nnunet.files.tables import write_table
from acnn_nnunet.latent.classification.arms import PHASE_SETS, ArmResult
from acnn_nnunet.latent.classification.measures import Classification, Duel
from acnn_nnunet.pages.page import render_page

SUMMARY_FILE, PREDICTIONS_FILE, PAGE_FILE = "classification.json", "predictions.csv", "classification.html"
_ARMS_HEADER = ("arm", "phases", "features", "right", "accuracy, %", "95 % interval", "mean of runs ± SD, %")
_DUELS_HEADER = (
    "arms",
    "phases",
    "only first right",
    "only second right",
    "p",
    "p (Holm)",
    "difference of runs, points",
)


def write_classification(result: Classification, output: Path) -> str:
    """Write the three files into a folder and return what to print.

    Raises:
        OSError: if a file cannot be written.
    """
    output = Path(output)
    make_output_folder(output)
    write_json(output / SUMMARY_FILE, summarise(result))
    write_table(output / PREDICTIONS_FILE, _prediction_columns(result), float_format="%.4f")
    page = render_page(
        "classification.html",
        classes=list(result.cohort.classes),
        sentences=describe_procedure(result),
        strict=result.strict,
        arms_header=_ARMS_HEADER,
        arms=[_arm_row(arm) for arm in result.arms],
        duels_header=_DUELS_HEADER,
        duels=[_duel_row(duel) for duel in result.duels],
        confusions=[
            {"title": f"{arm.name}, {arm.phases}", "rows": _confusion_rows(result, arm)} for arm in result.arms
        ],
        mistakes=_mistakes(result),
        excluded=result.cohort.excluded,
    )
    write_text(output / PAGE_FILE, page)
    table = format_table(_ARMS_HEADER, [_arm_row(arm) for arm in result.arms])
    left_out = [f"left out: {each.patient}: {each.reason}" for each in result.cohort.excluded]
    return "\n".join([*describe_procedure(result), "", table, "", *left_out, f"wrote {output / PAGE_FILE}"])


def summarise(result: Classification) -> dict[str, Any]:
    """Return everything but the single predictions as plain values."""
    cohort = result.cohort
    return {
        "arm": "strict" if result.strict else "loose",
        "classes": list(cohort.classes),
        "num_patients": {name: sum(m.group == name for m in cohort.members) for name in cohort.classes},
        "num_persons": len(set(cohort.units)),
        "num_others": cohort.num_others,
        "excluded": [each.entry() for each in cohort.excluded],
        "num_folds": result.num_folds,
        "num_runs": result.num_runs,
        "num_trees": result.num_trees,
        "arms": [
            {
                "name": arm.name,
                "phases": arm.phases,
                "num_features": arm.num_features,
                "num_correct": int(arm.correct.sum()),
                "accuracy": float(arm.correct.mean()),
                "interval": arm.interval,
                "accuracy_of_runs": arm.accuracies,
                "confusion": arm.confusion,
            }
            for arm in result.arms
        ],
        "duels": [asdict(duel) for duel in result.duels],
    }


def describe_procedure(result: Classification) -> list[str]:
    """Return the sentences on how the arms were tested, the strict or looser arm first."""
    cohort, trees = result.cohort, result.num_trees
    counts = ", ".join(f"{sum(m.group == name for m in cohort.members)} {name}" for name in cohort.classes)
    if result.strict:
        arm = (
            f"Strict arm: {result.num_folds} fixed folds, each with the codes of its own prior; forests are grown on "
            f"the fold's training patients and tested on the others, with {result.num_runs} seeds."
        )
    else:
        arm = (
            f"Looser arm, as in the paper: one prior for all patients, so the codes may have seen the patients tested; "
            f"{_runs(result)}, each with its own {result.num_folds} folds. The strict arm takes a table of "
            "codes per fold, and --splits."
        )
    return [
        arm,
        f"{len(cohort.members)} patients ({counts}), {len(cohort.excluded)} left out, {cohort.num_others} of other "
        f"groups; folds {'' if result.strict else 'are stratified by group and '}keep a person's cases together.",
        f"Forests of {trees} extremely randomised trees. A patient's verdict is the class with the highest mean "
        f"probability over the runs; accuracy, interval (Wilson), confusion and McNemar's exact test are of the "
        f"verdicts.",
    ]


def format_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return rows in columns, the first two to the left."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in ([*zip(row, widths, strict=True)] for row in (header, *rows))
    ]
    return "\n".join(line.rstrip() for line in lines)


def _arm_row(arm: ArmResult) -> tuple[str, ...]:
    low, high = arm.interval
    runs = 100 * arm.accuracies
    return (
        arm.name,
        arm.phases,
        str(arm.num_features),
        f"{int(arm.correct.sum())}/{len(arm.correct)}",
        f"{100 * arm.correct.mean():.1f}",
        f"{100 * low:.1f} to {100 * high:.1f}",
        f"{runs.mean():.1f} ± {runs.std(ddof=1):.1f}" if len(runs) > 1 else f"{runs.mean():.1f}",
    )


def _duel_row(duel: Duel) -> tuple[str, ...]:
    low, high = (100 * end for end in duel.interval)
    return (
        f"{duel.first} against {duel.second}",
        duel.phases,
        str(duel.only_first),
        str(duel.only_second),
        format_p(duel.p),
        format_p(duel.p_holm),
        f"{100 * duel.difference:+.1f} [{low:+.1f}, {high:+.1f}]",
    )


def _confusion_rows(result: Classification, arm: ArmResult) -> list[tuple[str, ...]]:
    return [(name, *map(str, row)) for name, row in zip(result.cohort.classes, arm.confusion, strict=True)]


def _mistakes(result: Classification) -> list[tuple[str, ...]]:
    """Return the misclassified patients: name, group, and each arm's verdict where it is wrong."""
    cohort, rows = result.cohort, []
    for index, member in enumerate(cohort.members):
        wrong = ["" if arm.correct[index] else cohort.classes[arm.verdicts[index]] for arm in result.arms]
        if any(wrong):
            rows.append((member.name, member.group, *wrong))
    return [("patient", "group", *(f"{arm.name}, {arm.phases}" for arm in result.arms)), *rows]


def _prediction_columns(result: Classification) -> dict[str, list[Any]]:
    """Return one row per arm and patient, the arms in the order of their phases."""
    cohort = result.cohort
    arms = sorted(result.arms, key=lambda arm: PHASE_SETS.index(arm.phases))
    means = [arm.probabilities.mean(axis=0) for arm in arms]
    return {
        "arm": [arm.name for arm in arms for _ in cohort.members],
        "phases": [arm.phases for arm in arms for _ in cohort.members],
        "patient": [member.name for member in cohort.members] * len(arms),
        "group": [member.group for member in cohort.members] * len(arms),
        "verdict": [cohort.classes[verdict] for arm in arms for verdict in arm.verdicts],
        "share_of_runs_right": [share for arm in arms for share in arm.share_correct],
        **{
            f"probability_{name}": [probability for mean in means for probability in mean[:, column]]
            for column, name in enumerate(cohort.classes)
        },
    }


def _runs(result: Classification) -> str:
    return "1 run" if result.num_runs == 1 else f"{result.num_runs} runs"
