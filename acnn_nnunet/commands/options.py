"""Options that several commands share, and the way from parsed words to a command's options object."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from acnn_nnunet.casewise.execution import Execution, Scheduler
from acnn_nnunet.evaluation.anatomy.presets import PRESETS

Options = TypeVar("Options")

GROUPS = "groups.csv with the columns case, patient, phase, group"


def options_from(kind: type[Options], arguments: argparse.Namespace, **others: Any) -> Options:
    """Return the options object of a command: each field is the argument of that name, or one of the others."""
    parsed = {**vars(arguments), **others}
    fields = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: parsed[name] for name in fields if name in parsed})


def add_output(parser: argparse.ArgumentParser, *, what: str = "folder to write", **details: Any) -> None:
    """Add -o, required unless the details have a default."""
    details.setdefault("required", "default" not in details)
    parser.add_argument("-o", dest="output", type=Path, help=what, **details)


def add_dataset(parser: argparse.ArgumentParser) -> None:
    """Add the positional DATASET."""
    parser.add_argument("dataset", help="dataset id or name")


def add_plans(parser: argparse.ArgumentParser) -> None:
    """Add -p."""
    parser.add_argument("-p", dest="plans_identifier", metavar="PLANS", default="nnUNetPlans", help="plans identifier")


def add_device(parser: argparse.ArgumentParser, *, default: str) -> None:
    """Add -device."""
    parser.add_argument(
        "-device", default=default, choices=["cuda", "cpu", "mps"], help=f"as in nnU-Net; default: {default}"
    )


def add_execution(
    parser: argparse.ArgumentParser, *, num_processes: int | None = None, also: str | None = None
) -> None:
    """Add the options that every case-wise command has: where its cases are done, in which parts, and going on.

    Args:
        parser: of the command.
        num_processes: default of -np; None takes nnU-Net's nnUNet_def_n_proc.
        also: another name of --continue.
    """
    group = parser.add_argument_group("where the cases are done")
    add_processes(group, num_processes=num_processes)
    names = ["--continue", *([also] if also else [])]
    group.add_argument(*names, dest="go_on", action="store_true", help="keep the cases that are done already")
    group.add_argument("-num_parts", type=int, default=1, help="number of parts, each its own run; then run merge")
    group.add_argument("-part_id", type=int, default=0, help="which part, from 0")
    add_scheduler(group)


def add_processes(parser: Any, *, num_processes: int | None = None) -> None:
    """Add -np; without a default it is nnU-Net's nnUNet_def_n_proc."""
    default = "nnU-Net's nnUNet_def_n_proc" if num_processes is None else num_processes
    parser.add_argument(
        "-np", dest="num_processes", type=int, default=num_processes, help=f"processes; default: {default}"
    )


def add_scheduler(parser: Any) -> None:
    """Add --scheduler and what makes it safe."""
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="Dask scheduler that does the work, or its scheduler file"
    )
    for name, what in (("ca-file", "authority's certificate"), ("cert", "own certificate"), ("key", "private key")):
        parser.add_argument(f"--tls-{name}", metavar="PEM", type=Path, help=f"with --scheduler tls://…: {what}")
    parser.add_argument("--insecure", action="store_true", help="take a scheduler on another machine without TLS")


def execution_of(arguments: argparse.Namespace) -> Execution:
    """Return where the cases are done; paths become absolute for the workers of a cluster.

    Raises:
        ValueError, FileNotFoundError: as `Execution` and `Scheduler`.
    """
    if arguments.scheduler is not None:
        for name, value in vars(arguments).items():
            if isinstance(value, Path):
                setattr(arguments, name, absolute_rules(value) if name == "rules_file" else value.absolute())
            elif isinstance(value, list) and value and isinstance(value[0], Path):
                setattr(arguments, name, [path.absolute() for path in value])
    return options_from(Execution, arguments, num_processes=num_processes(arguments), scheduler=scheduler_of(arguments))


def absolute_rules(rules: Path) -> Path:
    """Return the absolute path of a file of rules; the name of a set of rules stays a name."""
    return rules if str(rules) in PRESETS and not rules.exists() else rules.absolute()


def scheduler_of(arguments: argparse.Namespace) -> Scheduler | None:
    """Return the scheduler that is named, if any.

    Raises:
        ValueError, FileNotFoundError: as `Scheduler`, or for its options without one.
    """
    if arguments.scheduler is not None:
        return options_from(Scheduler, arguments, address=arguments.scheduler)
    if arguments.insecure or any((arguments.tls_ca_file, arguments.tls_cert, arguments.tls_key)):
        raise ValueError("--insecure and --tls-… go with --scheduler.")
    return None


def num_processes(arguments: argparse.Namespace) -> int:
    """Return -np, or nnU-Net's default."""
    if arguments.num_processes is not None:
        return arguments.num_processes
    from nnunetv2.configuration import default_num_processes

    return default_num_processes


def add_model(parser: argparse.ArgumentParser, *, required: bool, configuration: str) -> None:
    """Add -d, -c, -p, -chk and -device of a trained model.

    Args:
        parser: of a command that loads a model.
        required: whether -d and -c have to be given.
        configuration: help of -c.
    """
    parser.add_argument("-d", dest="dataset", required=required, help="dataset id or name")
    parser.add_argument("-c", dest="configuration", required=required, help=configuration)
    add_plans(parser)
    parser.add_argument(
        "-chk", dest="checkpoint_name", metavar="FILE", default="checkpoint_final.pth", help="checkpoint of each fold"
    )
    add_device(parser, default="cuda")


def add_prior(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a prior: its file, or dataset, configuration and fold."""
    parser.add_argument("--prior", type=Path, help="prior file, instead of -d, -c and -f")
    parser.add_argument("-d", dest="dataset", help="dataset id or name")
    parser.add_argument("-c", dest="configuration", help="e.g. 3d_fullres")
    parser.add_argument("-f", dest="fold", help="its number, or all")
    add_plans(parser)
    add_device(parser, default="cpu")


def add_rules(parser: argparse.ArgumentParser) -> None:
    """Add the option that names anatomical rules, `rules_file`."""
    parser.add_argument(
        "--rules",
        dest="rules_file",
        metavar="RULES",
        type=Path,
        help=f"anatomical rules: {', '.join(PRESETS)}, or a JSON file; default: those that dataset.json declares",
    )


def prior_of(arguments: argparse.Namespace) -> Path:
    """Return the prior file that the options name."""
    from acnn_nnunet.fold_prior.loading import choose_prior

    return choose_prior(
        arguments.prior,
        dataset=arguments.dataset,
        configuration=arguments.configuration,
        fold=arguments.fold,
        plans_identifier=arguments.plans_identifier,
    )
