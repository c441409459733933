"""The command that trains many models."""

import argparse
from pathlib import Path

from acnn_nnunet.commands.options import add_output, add_scheduler, options_from, scheduler_of


def add_parsers(commands: argparse._SubParsersAction) -> None:
    """Add the parser of this command."""
    parser = commands.add_parser("sweep", help="train folds × settings × seeds, and evaluate every arm")
    parser.add_argument(
        "plan", metavar="PLAN", type=Path, help="YAML: dataset, configuration, trainer, folds, settings"
    )
    add_output(parser, what="folder to write; default: the plan's name without its ending", default=None)
    parser.add_argument("-np", dest="num_processes", type=int, help="trainings at a time; default: one per GPU, or one")
    parser.add_argument("--continue", dest="go_on", action="store_true", help="keep the runs that are trained already")
    add_scheduler(parser)
    parser.set_defaults(run=_sweep)


def _sweep(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.casewise.execution import Execution
    from acnn_nnunet.sweep.command import SweepOptions, sweep
    from acnn_nnunet.sweep.gpus import visible_gpus

    execution = options_from(
        Execution,
        arguments,
        scheduler=scheduler_of(arguments),
        num_processes=max(1, len(visible_gpus())) if arguments.num_processes is None else arguments.num_processes,
    )
    plan = arguments.plan.absolute()
    output = plan.with_suffix("") if arguments.output is None else arguments.output.absolute()
    outcome = sweep(plan, output, SweepOptions(execution))
    return outcome.text, outcome.exit_code
