"""Commands that judge and correct predictions where there is no ground truth."""

import argparse
from pathlib import Path

from acnn_nnunet.commands.options import GROUPS, add_model, add_output, add_prior, options_from, prior_of


def add_parsers(commands: argparse._SubParsersAction) -> None:
    """Add the parsers of these commands."""
    _add_plausibility(commands)
    _add_refine(commands)


def _add_plausibility(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("plausibility", help="which predictions to look at, without ground truth")
    parser.add_argument("prediction", metavar="PRED", type=Path, help="folder of predicted label maps")
    add_output(parser)
    add_prior(parser)
    parser.add_argument("--images", type=Path, help="the segmented images, to compare their codes")
    parser.add_argument(
        "--rules",
        dest="rules_file",
        metavar="JSON",
        type=Path,
        help="anatomical rules; default: those that dataset.json declares",
    )
    parser.add_argument(
        "--calibration", dest="calibration_file", metavar="JSON", type=Path, help="flag cases by a calibration.json"
    )
    parser.add_argument(
        "--calibrate", dest="references", metavar="GT", type=Path, help="references: make a calibration.json of PRED"
    )
    parser.add_argument("--recall", type=float, default=0.9, help="share of bad cases to flag, default 0.9")
    parser.add_argument(
        "--bad-dice", type=float, help="a case is bad if its mean Dice is at most this; default: lowest tenth"
    )
    parser.add_argument(
        "--groups", dest="groups_file", metavar="CSV", type=Path, help=f"{GROUPS}; default: the one next to GT"
    )
    parser.set_defaults(run=_plausibility)


def _plausibility(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.plausibility.command import PlausibilityOptions, plausibility

    options = options_from(PlausibilityOptions, arguments, prior_file=prior_of(arguments))
    outcome = plausibility(arguments.prediction, arguments.output, options)
    return outcome.text, outcome.exit_code


def _add_refine(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("refine", help="label maps of a first stage, corrected by a second one (AESegTrainer)")
    parser.add_argument("-i", dest="source", type=Path, required=True, help="folder of label maps")
    add_output(parser)
    add_model(parser, required=True, configuration="e.g. 3d_fullres")
    parser.add_argument("-tr", dest="trainer", default="AESegTrainer", help="AESegTrainer or AESegMTrainer")
    parser.add_argument("-f", dest="fold", default="0", help="its number, or all")
    parser.set_defaults(run=_refine)


def _refine(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.refinement.command import RefineOptions, refine

    outcome = refine(arguments.source, arguments.output, options_from(RefineOptions, arguments))
    return outcome.text, outcome.exit_code
