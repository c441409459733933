"""Commands for challenge data: in as a raw dataset, out as a submission."""

import argparse
from pathlib import Path

from acnn_nnunet.commands.options import add_execution, add_output, execution_of


def add_parsers(commands: argparse._SubParsersAction) -> None:
    """Add the parsers of these commands."""
    _add_convert(commands)
    _add_submit(commands)


def _add_convert(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("convert", help="a challenge's own folders as an nnU-Net raw dataset")
    parser.add_argument("challenge", choices=["acdc", "cetus"])
    parser.add_argument("source", metavar="SRC", type=Path, help="the challenge's folder as it is unpacked")
    parser.add_argument("dataset_id", metavar="ID", type=int, help="number of the new dataset, 1 to 999")
    parser.add_argument(
        "--splits",
        choices=["nnunet", "ssl4mis"],
        help="folds that published ACDC results are on: nnU-Net's own (seed 1234), or SSL4MIS's 7 / 10 / 20 patients; "
        "default: five folds balanced by group",
    )
    add_execution(parser, num_processes=1)
    parser.set_defaults(run=_convert)


def _convert(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.challenges.command import convert

    execution = execution_of(arguments)
    words = arguments.challenge, arguments.source, arguments.dataset_id
    outcome = convert(*words, splits=arguments.splits, execution=execution)
    return outcome.text, outcome.exit_code


def _add_submit(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("submit", help="check predictions of a challenge's test cases and zip them")
    parser.add_argument("challenge", choices=["acdc", "cetus"])
    parser.add_argument("predictions", metavar="PRED", type=Path, help="predictions of that dataset's imagesTs")
    add_output(parser, what="zip file to write", metavar="ZIP")
    parser.add_argument("-d", dest="dataset", help="id or name of that dataset; default: the only one of its name")
    parser.set_defaults(run=_submit)


def _submit(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.challenges.command import submit

    return submit(arguments.challenge, arguments.predictions, arguments.output, dataset=arguments.dataset), 0
