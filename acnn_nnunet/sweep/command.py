"""`acnn-nnunet sweep`: many trainings from one plan, to the evaluations that `compare` reads."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.recorded import CaseWork, header_of, opened_journal, record_cases
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.evaluation.command import EvaluationOptions, evaluate
from acnn_nnunet.files.safe_writes import make_output_folder
from acnn_nnunet.nnunet.configure import configure, parse_assignments, spell_assignments
from acnn_nnunet.nnunet.models import find_trainer_class
from acnn_nnunet.nnunet.plans import find_plans
from acnn_nnunet.sweep.plan import SweepPlan, TrainingRun, read_plan
from acnn_nnunet.sweep.progress import TABLE_FILE, LiveTable
from acnn_nnunet.sweep.training import DONE_FILES, check_settings, fold_folder, train

COMMAND = "sweep"


@dataclass(frozen=True)
class SweepOptions:
    """How a plan is carried out.

    Attributes:
        execution: where the trainings run; processes are trainings at a time, and each takes a GPU of its own.
    """

    execution: Execution = HERE


def sweep(plan_file: Path, output: Path, options: SweepOptions | None = None) -> Outcome:
    """Train folds × settings × seeds, then evaluate each arm's validation cases of all folds.

    Args:
        plan_file: YAML as `read_plan` takes it.
        output: folder of `sweep.csv`, `logs/` and `eval/ARM`; the models go where nnU-Net keeps them.
        options: how.

    Returns:
        The table and the `compare` line; not complete if a run failed.

    Raises:
        FileNotFoundError, ValueError: for a plan that cannot be carried out; nothing has started then.
        OSError: if the output cannot be written.
    """
    options, output = options or SweepOptions(), Path(output)
    plan = read_plan(plan_file)
    dataset = _configure(plan)
    runs = {run.name: run for run in plan.runs(dataset)}
    make_output_folder(output / "logs")
    work = CaseWork(partial(train, (output / "logs").absolute()), _no_sources, _done_files)
    header = header_of(COMMAND, output, None, runs)
    with opened_journal(output, header, options.execution, may_change=("cases",)) as journal:
        with LiveTable(list(runs.values()), output) as table:
            record_cases(work, runs, journal, execution=options.execution, unit="run", on_failure=table.fail)
        failed = {entry["case"]: entry["error"] for entry in journal.entries_of(list(runs)) if entry["error"]}
    evaluated, notes = _evaluate_arms(plan, list(runs.values()), failed, output, options.execution)
    lines = [f"{len(runs) - len(failed)} of {len(runs)} trainings are done: {output / TABLE_FILE}"]
    lines += [*(f"{name}: {error}" for name, error in failed.items()), *notes]
    if len(evaluated) > 1:
        arms = " ".join(f"{arm}={folder}" for arm, folder in evaluated.items())
        lines.append(f"next: acnn-nnunet compare {arms} -o {output / 'compare'}")
    return Outcome("\n".join(lines), tuple(Excluded(name, error) for name, error in failed.items()))


def _configure(plan: SweepPlan) -> str:
    """Check everything, then write the configuration of each arm; return the dataset's full name."""
    dataset, plans_file = find_plans(plan.dataset, plan.plans)
    find_trainer_class(plan.trainer)
    words = {arm: spell_assignments(values) for arm, values in plan.arms().items()}
    for assignments in words.values():
        parse_assignments(assignments)
    for run in plan.runs(dataset):
        check_settings(run)
    before = plans_file.read_bytes()
    try:
        for arm, assignments in words.items():
            name = plan.configuration_of(arm)
            configure(
                plan.dataset,
                base=plan.configuration,
                name=name,
                plans_identifier=plan.plans,
                assignments=assignments,
            )
    except ValueError:
        plans_file.write_bytes(before)
        raise
    return dataset


def _evaluate_arms(
    plan: SweepPlan, runs: Sequence[TrainingRun], failed: dict[str, str], output: Path, execution: Execution
) -> tuple[dict[str, Path], list[str]]:
    """Evaluate the validation cases of each arm that is whole; return the folders, and what is left out."""
    evaluated, notes = {}, []
    for arm in plan.arms():
        own = [run for run in runs if run.arm == arm]
        if lost := [str(run.fold) for run in own if run.name in failed]:
            notes.append(f"{arm} is not evaluated: fold {', '.join(lost)} failed.")
            continue
        evaluated[arm] = _evaluate_arm(own, output, execution)
    return evaluated, notes


def _evaluate_arm(runs: Sequence[TrainingRun], output: Path, execution: Execution) -> Path:
    from nnunetv2.paths import nnUNet_preprocessed

    arm = runs[0].arm
    predictions, folder = output / "predictions" / arm, output / "eval" / arm
    shutil.rmtree(predictions, ignore_errors=True)
    predictions.mkdir(parents=True)
    for run in runs:
        for file in (fold_folder(run) / "validation").glob("*"):
            if file.suffix not in (".json", ".npz", ".pkl"):
                shutil.copyfile(file, predictions / file.name)
    preprocessed = Path(nnUNet_preprocessed.require()) / runs[0].dataset
    options = EvaluationOptions(
        only_predicted=True, dataset_json=preprocessed / "dataset.json", execution=Execution(execution.num_processes)
    )
    shutil.rmtree(folder, ignore_errors=True)  # it is made of the predictions within seconds
    evaluate(preprocessed / "gt_segmentations", predictions, folder, options)
    return folder


def _no_sources(run: Any) -> tuple[Path, ...]:
    return ()


def _done_files(run: TrainingRun) -> list[Path]:
    return [fold_folder(run) / name for name in DONE_FILES]
