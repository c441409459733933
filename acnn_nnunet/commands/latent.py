"""Commands about the code: codes of label maps and images, a report of the latent space, groups told apart by it."""

import argparse
from pathlib import Path

from acnn_nnunet.commands.options import (
    GROUPS,
    add_execution,
    add_output,
    add_prior,
    execution_of,
    options_from,
    prior_of,
)


def add_parsers(commands: argparse._SubParsersAction) -> None:
    """Add the parsers of these commands."""
    _add_codes(commands)
    _add_latent_report(commands)
    _add_classify(commands)


def _add_codes(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("codes", help="codes of label maps or images, as a table")
    parser.add_argument("folder", type=Path, help="folder of label maps, CASE.nii.gz, or images, CASE_0000.nii.gz")
    add_output(parser, what="table to write, .csv or .parquet")
    add_prior(parser)
    parser.add_argument("--images", action="store_true", help="the folder holds images: use the predictor")
    parser.add_argument("--around", type=Path, help="with --images: label maps that say where the anatomy is")
    parser.add_argument("--align", action="store_true", help="shift and turn label maps to the mean shape's pose")
    parser.add_argument("--groups", dest="groups_file", metavar="CSV", type=Path, help=GROUPS)
    add_execution(parser, num_processes=1)
    parser.set_defaults(run=_codes)


def _codes(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.latent.codes.command import CodesOptions, write_folder_codes

    execution = execution_of(arguments)
    options = options_from(CodesOptions, arguments, prior_file=prior_of(arguments), execution=execution)
    outcome = write_folder_codes(arguments.folder, arguments.output, options)
    return outcome.text, outcome.exit_code


def _add_latent_report(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("latent-report", help="what the numbers of a code mean: a page of shapes")
    parser.add_argument("source", type=Path, help="folder of label maps, or a table that codes wrote")
    add_output(parser)
    add_prior(parser)
    parser.add_argument("--groups", dest="groups_file", metavar="CSV", type=Path, help=GROUPS)
    parser.add_argument(
        "--dimensions", type=int, nargs="+", action="extend", help="dimensions to traverse, from 0 on; default: two"
    )
    parser.add_argument(
        "--directions",
        dest="num_directions",
        metavar="N",
        type=int,
        default=3,
        help="principal directions to traverse; default: 3",
    )
    parser.add_argument("--between", nargs=2, metavar=("A", "B"), help="two cases to interpolate between")
    parser.set_defaults(run=_latent_report)


def _latent_report(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.latent.report.command import LatentReportOptions, latent_report

    between = tuple(arguments.between) if arguments.between else None
    options = options_from(LatentReportOptions, arguments, prior_file=prior_of(arguments), between=between)
    return latent_report(arguments.source, arguments.output, options), 0


def _add_classify(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("classify", help="can the codes tell groups of patients apart? forests, arm by arm")
    parser.add_argument("codes", metavar="CODES", type=Path, help="table of `codes`, or folder of fold_0.csv and on")
    parser.add_argument("groups", metavar="GROUPS", type=Path, help=GROUPS)
    add_output(parser)
    parser.add_argument(
        "--classes", nargs="+", action="extend", metavar="GROUP", help="groups to tell apart; default: all"
    )
    parser.add_argument("--splits", type=Path, help="splits_final.json of the priors, with a folder of codes by fold")
    parser.add_argument(
        "--folds",
        dest="num_folds",
        metavar="N",
        type=int,
        default=10,
        help="folds of the cross-validation without --splits, default 10",
    )
    parser.add_argument(
        "--runs", dest="num_runs", metavar="N", type=int, default=20, help="seeds of forests (and folds), default 20"
    )
    parser.add_argument(
        "--arm",
        dest="arms",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=CODES",
        help="codes to compare with",
    )
    parser.add_argument("--clinical", type=Path, metavar="CSV", help="clinical.csv of `evaluate`, or other features")
    parser.add_argument(
        "--side", choices=["reference", "prediction"], default="reference", help="side of clinical.csv to use"
    )
    parser.add_argument("--pca", type=Path, metavar="LABELS", help="folder of label maps: adds an arm of their PCA")
    parser.add_argument("--prior", help="with --pca: the prior whose grid to use; {fold} in it with --splits")
    parser.add_argument(
        "--align", action="store_true", help="with --pca: shift and turn label maps to the mean shape's pose"
    )
    parser.set_defaults(run=_classify)


def _classify(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.latent.classification.command import ClassificationOptions, run_classification

    options = options_from(ClassificationOptions, arguments)
    return run_classification(arguments.codes, arguments.groups, arguments.output, options), 0
