"""Commands that judge and correct predictions where there is no ground truth."""

import argparse
from pathlib import Path
from typing import Any

from acnn_nnunet.commands.options import (
    GROUPS,
    absolute_rules,
    add_execution,
    add_output,
    add_prior,
    add_rules,
    execution_of,
    options_from,
    prior_of,
)
from acnn_nnunet.evaluation.anatomy.presets import PRESETS


def add_parsers(commands: argparse._SubParsersAction) -> None:
    """Add the parsers of these commands."""
    _add_plausibility(commands)
    _add_refine(commands)


def _add_plausibility(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("plausibility", help="which predictions to look at, without ground truth")
    parser.add_argument("prediction", metavar="PRED", type=Path, help="folder of predicted label maps")
    add_output(parser)
    add_prior(parser)
    parser.add_argument(
        "--members",
        nargs="+",
        action="extend",
        metavar="PRED_DIR",
        type=Path,
        help="predictions of an ensemble's members: folds, seeds or mirrorings; works without a prior",
    )
    parser.add_argument("--images", type=Path, help="the segmented images, for the pictures")
    parser.add_argument(
        "-djfile",
        dest="dataset_json",
        metavar="FILE",
        type=Path,
        help="without a prior: dataset.json; default: looked for in and above PRED",
    )
    add_rules(parser)
    parser.add_argument(
        "--calibration", dest="calibration_file", metavar="JSON", type=Path, help="judge cases by a calibration.json"
    )
    parser.add_argument(
        "--calibrate", dest="references", metavar="GT", type=Path, help="references: make a calibration.json of PRED"
    )
    parser.add_argument("--recall", type=float, default=0.9, help="share of the bad to flag, default 0.9")
    parser.add_argument("--bad-dice", type=float, help="bad is a Dice of at most this; default: the lowest tenth")
    parser.add_argument("--level", type=float, default=0.9, help="of the prediction intervals, default 0.9")
    parser.add_argument(
        "--groups", dest="groups_file", metavar="CSV", type=Path, help=f"{GROUPS}; default: the one next to GT"
    )
    add_execution(parser, num_processes=1)
    parser.set_defaults(run=_plausibility)


def _plausibility(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.plausibility.command import PlausibilityOptions, plausibility

    execution = execution_of(arguments)
    no_prior = arguments.prior is None and arguments.dataset is None
    prior_file = None if no_prior else prior_of(arguments)
    members = tuple(arguments.members or ())
    more = {"prior_file": prior_file, "members": members, "execution": execution}
    options = options_from(PlausibilityOptions, arguments, **more)
    outcome = plausibility(arguments.prediction, arguments.output, options)
    return outcome.text, outcome.exit_code


def _add_refine(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("refine", help="better label maps after any network, by the learnt anatomy")
    parser.add_argument("prediction", metavar="PRED", type=Path, nargs="?", help="folder that nnUNetv2_predict wrote")
    parser.add_argument("-i", dest="source", type=Path, help="the same, for a second stage")
    add_output(parser)
    parser.add_argument(
        "--method",
        choices=["complete", "project", "second-stage"],
        help="default: complete; second-stage with -tr or -i",
    )
    add_prior(parser)
    parser.add_argument("-tr", dest="trainer", help="of a second stage: AESegTrainer or AESegMTrainer")
    parser.add_argument(
        "-chk", dest="checkpoint_name", metavar="FILE", default="checkpoint_final.pth", help="its checkpoint"
    )
    parser.add_argument(
        "--guarantee",
        nargs="?",
        const="",
        metavar="RULES",
        help=f"anatomical rules that every label map keeps: {', '.join(PRESETS)}, a JSON file, or nothing for those "
        "that dataset.json declares; without a prior label maps are repaired only",
    )
    parser.add_argument(
        "--most-changed",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="with --guarantee: share of the anatomy's voxels that a repair may change, default 0.2",
    )
    parser.add_argument(
        "--most-tries",
        type=int,
        default=200,
        metavar="N",
        help="with --guarantee: slices that the search for a case's repair may look at, some 5 ms each; default 200",
    )
    add_execution(parser, num_processes=1, also="--continue_prediction")
    parser.add_argument(
        "--calibration", dest="calibration_file", metavar="JSON", type=Path, help="refine by a refinement.json"
    )
    parser.add_argument(
        "--calibrate", dest="references", metavar="GT", type=Path, help="references: make a refinement.json of PRED"
    )
    parser.add_argument(
        "--groups", dest="groups_file", metavar="CSV", type=Path, help=f"{GROUPS}; default: the one next to GT"
    )
    parser.set_defaults(run=_refine)


def _refine(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.refinement.command import SECOND_STAGE, RefineOptions, refine

    execution = execution_of(arguments)
    source = _source_of(arguments)
    # Before there was a --method, -i and -tr alone meant a second stage.
    method = arguments.method or (SECOND_STAGE if arguments.trainer or arguments.source else "complete")
    calibrates = arguments.references is not None or arguments.calibration_file is not None
    if method == SECOND_STAGE:
        if arguments.guarantee is not None:
            raise ValueError("--guarantee goes with predictions: refine with the second stage first, then its output.")
        if calibrates:
            raise ValueError("--calibrate and --calibration go with a shape prior: a second stage has none.")
        more = {"second_stage": _second_stage(arguments)}
    else:
        if arguments.trainer:
            raise ValueError(f"-tr names a second stage: leave it out, or leave out --method {method}.")
        more = {"guarantee": _guarantee(arguments)}
        names_prior = arguments.prior or arguments.dataset or arguments.configuration or arguments.fold
        if more["guarantee"] is None or names_prior or calibrates:
            more["prior_file"] = prior_of(arguments)
    outcome = refine(
        source, arguments.output, options_from(RefineOptions, arguments, method=method, execution=execution, **more)
    )
    return outcome.text, outcome.exit_code


def _guarantee(arguments: argparse.Namespace) -> Any:
    if arguments.guarantee is None:
        return None
    from acnn_nnunet.refinement.guarantee import Guarantee

    rules = Path(arguments.guarantee) if arguments.guarantee else None
    if rules is not None and arguments.scheduler is not None:
        rules = absolute_rules(rules)
    return Guarantee(rules, arguments.most_changed, arguments.most_tries)


def _source_of(arguments: argparse.Namespace) -> Path:
    if (arguments.prediction is None) == (arguments.source is None):
        raise ValueError("Name the folder of predictions once: acnn-nnunet refine PRED -o OUT, or with -i.")
    return arguments.prediction or arguments.source


def _second_stage(arguments: argparse.Namespace) -> Any:
    from acnn_nnunet.refinement.second_stage import SecondStageOptions

    if arguments.prior is not None:
        raise ValueError("A second stage needs no prior: leave out --prior.")
    words = {"-d": arguments.dataset, "-c": arguments.configuration}
    if missing := [flag for flag, word in words.items() if word is None]:
        raise ValueError(f"A second stage is found by -d, -c and -f ({', '.join(missing)} missing).")
    return options_from(
        SecondStageOptions, arguments, trainer=arguments.trainer or "AESegTrainer", fold=arguments.fold or "0"
    )
