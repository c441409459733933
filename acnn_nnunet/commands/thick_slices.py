"""Commands for thick slices."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acnn_nnunet.casewise.work import Outcome


def add_parsers(commands) -> None:
    """Add the parsers of these commands."""
    _add_plan_hr(commands)
    _add_degrade(commands)
    _add_predict_hr(commands)


def _add_plan_hr(commands) -> None:
    parser = commands.add_parser("plan-hr", help="plan a configuration that takes thick slices and returns thin ones")
    parser.add_argument("dataset", help="dataset id or name")
    parser.add_argument("--factor", type=int, required=True, help="K, thin slices in a thick one")
    parser.add_argument("-c", dest="base", default="3d_fullres", help="configuration of the thin slices")
    parser.add_argument("-p", dest="plans", default="nnUNetPlans", help="plans identifier")
    parser.add_argument("-n", dest="name", help="name of the new configuration; default: 3d_hr_xK")
    parser.add_argument(
        "--axis",
        type=int,
        choices=[0, 1, 2],
        help="slice direction as a NIfTI axis; default: the axis of the largest spacing, or the last",
    )
    parser.set_defaults(run=_plan_hr)


def _plan_hr(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.sr.planning.command import PlanHROptions, plan_hr

    options = PlanHROptions(arguments.factor, arguments.base, arguments.plans, name=arguments.name, axis=arguments.axis)
    print(plan_hr(arguments.dataset, options))
    return 0


def _add_degrade(commands) -> None:
    parser = commands.add_parser("degrade", help="simulate thick-slice stacks of high-resolution images")
    parser.add_argument(
        "-i", dest="source", metavar="HR", type=Path, required=True, help="NIfTI image or folder of them"
    )
    parser.add_argument("-o", dest="output", metavar="LR", type=Path, required=True, help="folder or file to write")
    parser.add_argument("--factor", type=int, required=True, help="K, thin slices in a thick one")
    parser.add_argument("--axis", type=int, choices=[0, 1, 2], help="slice direction as a NIfTI axis, as in plan-hr")
    parser.add_argument("--profile", choices=["gaussian", "boxcar"], default="gaussian", help="of a slice")
    parser.add_argument("--sigma-mm", type=float, help="of the Gaussian; default: 0.4 times the thick slices' spacing")
    parser.add_argument("--motion-mm", type=float, default=0.0, help="largest in-plane shift of a slice")
    parser.add_argument("--rotation-deg", type=float, default=0.0, help="largest in-plane turn of a slice")
    parser.add_argument("--noise", type=float, default=0.0, help="Gaussian, as a share of the stack's SD")
    parser.add_argument("--drop", type=float, default=0.0, help="probability of a slice to be lost")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.set_defaults(run=_degrade)


def _degrade(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.sr.degradation.acquisition import Acquisition
    from acnn_nnunet.sr.degradation.command import DegradeOptions, degrade_folder

    acquisition = Acquisition(
        factor=arguments.factor,
        profile=arguments.profile,
        sigma_mm=arguments.sigma_mm,
        motion_mm=arguments.motion_mm,
        rotation_deg=arguments.rotation_deg,
        noise=arguments.noise,
        drop=arguments.drop,
    )
    outcome = degrade_folder(
        arguments.source, arguments.output, DegradeOptions(acquisition, arguments.axis, arguments.seed)
    )
    print(outcome.text)
    return outcome.exit_code


def _add_predict_hr(commands) -> None:
    parser = commands.add_parser("predict-hr", help="thin-slice label maps or images of thick-slice stacks")
    parser.add_argument("-i", dest="source", type=Path, required=True, help="folder of stacks, CASE_0000.nii.gz")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder to write")
    parser.add_argument("-d", dest="dataset", help="dataset id or name")
    parser.add_argument("-c", dest="configuration", help="planned by plan-hr, e.g. 3d_hr_x5")
    parser.add_argument("-tr", dest="trainer", help="trainer of the model")
    parser.add_argument("-p", dest="plans", default="nnUNetPlans", help="plans identifier")
    parser.add_argument("-f", dest="folds", nargs="+", default=["0", "1", "2", "3", "4"], help="folds, or all")
    parser.add_argument("-chk", dest="checkpoint", default="checkpoint_final.pth", help="checkpoint of each fold")
    parser.add_argument("-step_size", type=float, default=0.5, help="of the sliding window, as a share of the patch")
    parser.add_argument("--disable_tta", action="store_true", help="no mirroring")
    parser.add_argument("-device", default="cuda", choices=["cuda", "cpu", "mps"], help="as in nnUNetv2_predict")
    parser.add_argument("--continue_prediction", action="store_true", help="leave out what is there")
    parser.add_argument("--baseline", choices=["linear", "bspline"], help="interpolate instead; needs --factor")
    parser.add_argument("--factor", type=int, help="K of the interpolation")
    parser.add_argument("--axis", type=int, choices=[0, 1, 2], help="its slice direction as a NIfTI axis")
    parser.add_argument("--labels", action="store_true", help="the stacks to interpolate are label maps")
    parser.set_defaults(run=_predict_hr)


def _predict_hr(arguments: argparse.Namespace) -> int:
    outcome = _interpolate(arguments) if arguments.baseline else _predict_with_model(arguments)
    print(outcome.text)
    return outcome.exit_code


def _interpolate(arguments: argparse.Namespace) -> "Outcome":
    from acnn_nnunet.sr.inference.interpolation import interpolate_folder

    given = [flag for flag, value in _model_options(arguments).items() if value is not None]
    if given:
        raise ValueError(f"--baseline uses no model: leave out {', '.join(given)}.")
    if arguments.factor is None:
        raise ValueError("--baseline needs --factor: how many thin slices a thick one becomes.")
    return interpolate_folder(
        arguments.source,
        arguments.output,
        method=arguments.baseline,
        factor=arguments.factor,
        axis=arguments.axis,
        labels=arguments.labels,
        continue_prediction=arguments.continue_prediction,
    )


def _predict_with_model(arguments: argparse.Namespace) -> "Outcome":
    from acnn_nnunet.sr.inference.command import Inference, predict_hr

    missing = [flag for flag, value in _model_options(arguments).items() if value is None]
    if missing:
        raise ValueError(f"predict-hr needs {', '.join(missing)}, or --baseline.")
    if arguments.factor is not None or arguments.axis is not None or arguments.labels:
        raise ValueError("--factor, --axis and --labels go with --baseline: a model has its own.")
    return predict_hr(
        arguments.source,
        arguments.output,
        dataset=arguments.dataset,
        configuration=arguments.configuration,
        trainer=arguments.trainer,
        plans_identifier=arguments.plans,
        folds=[_fold(word) for word in arguments.folds],
        checkpoint_name=arguments.checkpoint,
        inference=Inference(
            step_size=arguments.step_size,
            mirroring=not arguments.disable_tta,
            device=arguments.device,
            show_progress=True,
        ),
        continue_prediction=arguments.continue_prediction,
    )


def _fold(word: str) -> int | str:
    if word != "all" and not word.isdecimal():
        raise ValueError(f"There is no fold {word}: -f takes numbers such as 0 1 2, or all.")
    return word if word == "all" else int(word)


def _model_options(arguments: argparse.Namespace) -> dict[str, str | None]:
    return {"-d": arguments.dataset, "-c": arguments.configuration, "-tr": arguments.trainer}
