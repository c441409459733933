"""Commands for thick slices."""

import argparse
from pathlib import Path

from acnn_nnunet.commands.options import (
    add_dataset,
    add_execution,
    add_model,
    add_output,
    add_plans,
    add_processes,
    execution_of,
    options_from,
)


def add_parsers(commands: argparse._SubParsersAction) -> None:
    """Add the parsers of these commands."""
    _add_plan_hr(commands)
    _add_degrade(commands)
    _add_predict_hr(commands)


def _add_factor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--factor", type=int, required=True, help="K, thin slices in a thick one")


def _add_axis(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--axis",
        type=int,
        choices=[0, 1, 2],
        help="slice direction as a NIfTI axis; default: the axis of the largest spacing, or the last",
    )


def _add_thickness(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--thickness",
        dest="thickness_mm",
        metavar="MM",
        type=float,
        help="of a thick slice, where that is not the slices' spacing: less leaves gaps, more overlaps",
    )


def _add_plan_hr(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("plan-hr", help="plan a configuration that takes thick slices and returns thin ones")
    add_dataset(parser)
    _add_factor(parser)
    parser.add_argument("-c", dest="base", default="3d_fullres", help="configuration of the thin slices")
    add_plans(parser)
    parser.add_argument("-n", dest="name", help="name of the new configuration; default: 3d_hr_xK")
    _add_axis(parser)
    _add_thickness(parser)
    parser.add_argument(
        "--register", action="store_true", help="align the real pairs (imagesTr_lr) rigidly, shown in pairs.html"
    )
    add_processes(parser, num_processes=1)
    parser.set_defaults(run=_plan_hr)


def _plan_hr(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.sr.planning.command import PlanHROptions, plan_hr

    outcome = plan_hr(arguments.dataset, options_from(PlanHROptions, arguments))
    return outcome.text, outcome.exit_code


def _add_degrade(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("degrade", help="simulate thick-slice stacks of high-resolution images")
    parser.add_argument("-i", dest="source", metavar="HR", type=Path, required=True, help="NIfTI image or folder")
    add_output(parser, what="folder or file to write", metavar="LR")
    _add_factor(parser)
    _add_axis(parser)
    parser.add_argument("--profile", choices=["gaussian", "boxcar"], default="gaussian", help="profile of a slice")
    parser.add_argument("--sigma-mm", type=float, help="σ of the Gaussian; default: 0.4 times the slices' thickness")
    _add_thickness(parser)
    parser.add_argument("--motion-mm", type=float, default=0.0, help="largest in-plane shift of a slice")
    parser.add_argument("--rotation-deg", type=float, default=0.0, help="largest in-plane turn of a slice")
    parser.add_argument("--noise", type=float, default=0.0, help="Gaussian noise, as a share of the stack's SD")
    parser.add_argument("--drop", type=float, default=0.0, help="probability that a slice is lost")
    parser.add_argument("--seed", type=int, default=0, help="seed of motion, noise and lost slices")
    add_execution(parser, num_processes=1)
    parser.set_defaults(run=_degrade)


def _degrade(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.sr.degradation.acquisition import Acquisition
    from acnn_nnunet.sr.degradation.command import DegradeOptions, degrade_folder

    execution = execution_of(arguments)
    acquisition = options_from(Acquisition, arguments)
    options = options_from(DegradeOptions, arguments, acquisition=acquisition, execution=execution)
    outcome = degrade_folder(arguments.source, arguments.output, options)
    return outcome.text, outcome.exit_code


def _add_predict_hr(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("predict-hr", help="thin-slice label maps or images of thick-slice stacks")
    parser.add_argument("-i", dest="source", type=Path, required=True, help="folder of stacks, CASE_0000.nii.gz")
    add_output(parser)
    add_model(parser, required=False, configuration="planned by plan-hr, e.g. 3d_hr_x5")
    parser.add_argument("-tr", dest="trainer", help="trainer of the model")
    parser.add_argument("-f", dest="folds", nargs="+", default=["0", "1", "2", "3", "4"], help="folds, or all")
    parser.add_argument(
        "-step_size", type=float, default=0.5, help="step of the sliding window, as a share of the patch"
    )
    parser.add_argument("--disable_tta", dest="mirroring", action="store_false", help="no mirroring")
    parser.add_argument(
        "--baseline", dest="method", choices=["linear", "bspline"], help="interpolate instead; needs --factor"
    )
    parser.add_argument("--factor", type=int, help="with --baseline: K, thin slices that a thick one becomes")
    _add_axis(parser)
    parser.add_argument("--labels", action="store_true", help="with --baseline: the stacks are label maps")
    add_execution(parser, num_processes=1, also="--continue_prediction")
    parser.add_argument(
        "--refine", action="store_true", help="correct the label maps by the shape prior, into OUT/refined"
    )
    parser.set_defaults(run=_predict_hr)


def _predict_hr(arguments: argparse.Namespace) -> tuple[str, int]:
    model = {"-d": arguments.dataset, "-c": arguments.configuration, "-tr": arguments.trainer}
    if arguments.method is None:
        return _predict_with_model(arguments, missing=[flag for flag, value in model.items() if value is None])
    return _interpolate(arguments, superfluous=[flag for flag, value in model.items() if value is not None])


def _interpolate(arguments: argparse.Namespace, *, superfluous: list[str]) -> tuple[str, int]:
    from acnn_nnunet.sr.inference.interpolation import InterpolationOptions, interpolate_folder

    if arguments.refine:
        raise ValueError("--refine corrects a model's label maps: leave it out with --baseline.")
    if superfluous:
        raise ValueError(f"--baseline uses no model: leave out {', '.join(superfluous)}.")
    if arguments.factor is None:
        raise ValueError("--baseline needs --factor: how many thin slices a thick one becomes.")
    options = options_from(InterpolationOptions, arguments, execution=execution_of(arguments))
    outcome = interpolate_folder(arguments.source, arguments.output, options)
    return outcome.text, outcome.exit_code


def _predict_with_model(arguments: argparse.Namespace, *, missing: list[str]) -> tuple[str, int]:
    from acnn_nnunet.sr.inference.command import Inference, PredictHROptions, predict_hr

    if missing:
        raise ValueError(f"predict-hr needs {', '.join(missing)}, or --baseline.")
    if arguments.factor is not None or arguments.axis is not None or arguments.labels:
        raise ValueError("--factor, --axis and --labels go with --baseline: a model has its own.")
    options = options_from(
        PredictHROptions,
        arguments,
        folds=tuple(_fold(word) for word in arguments.folds),
        inference=options_from(Inference, arguments, show_progress=True),
        execution=execution_of(arguments),
    )
    if arguments.refine and options.execution.num_parts > 1:
        raise ValueError("--refine needs all label maps: leave it out, and use acnn-nnunet refine after `merge`.")
    prior = _prior_to_refine_by(arguments) if arguments.refine else None
    outcome = predict_hr(arguments.source, arguments.output, options)
    if prior is None:
        return outcome.text, outcome.exit_code
    from acnn_nnunet.refinement.command import RefineOptions, refine

    refine_options = options_from(
        RefineOptions, arguments, method="complete", prior_file=prior, execution=options.execution
    )
    refined = refine(arguments.output, arguments.output / "refined", refine_options)
    return f"{outcome.text}\n{refined.text}", max(outcome.exit_code, refined.exit_code)


def _prior_to_refine_by(arguments: argparse.Namespace) -> Path:
    """Return the prior of the first fold; refuse a model of images before anything is predicted."""
    from acnn_nnunet.fold_prior.loading import choose_prior
    from acnn_nnunet.nnunet.models import find_trainer_class

    if getattr(find_trainer_class(arguments.trainer), "predicts_image", False):
        raise ValueError(f"--refine corrects label maps, and {arguments.trainer} predicts images: leave it out.")
    return choose_prior(
        None,
        dataset=arguments.dataset,
        configuration=arguments.configuration,
        fold=arguments.folds[0],
        plans_identifier=arguments.plans_identifier,
    )


def _fold(word: str) -> int | str:
    if word != "all" and not word.isdecimal():
        raise ValueError(f"There is no fold {word}: -f takes numbers such as 0 1 2, or all.")
    return word if word == "all" else int(word)
