"""Commands for challenge data: in as a raw dataset, out as a submission."""

import argparse
from pathlib import Path


def add_parsers(commands) -> None:
    """Add the parsers of these commands."""
    _add_convert(commands)
    _add_submit(commands)


def _add_convert(commands) -> None:
    parser = commands.add_parser("convert", help="a challenge's own folders as an nnU-Net raw dataset")
    parser.add_argument("challenge", choices=["acdc", "cetus"])
    parser.add_argument("source", metavar="SRC", type=Path, help="the challenge's folder as it is unpacked")
    parser.add_argument("dataset_id", metavar="ID", type=int, help="number of the new dataset, 1 to 999")
    parser.set_defaults(run=_convert)


def _convert(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.challenges.command import convert

    print(convert(arguments.challenge, arguments.source, arguments.dataset_id).text)
    return 0


def _add_submit(commands) -> None:
    parser = commands.add_parser("submit", help="check predictions of a challenge's test cases and zip them")
    parser.add_argument("challenge", choices=["acdc", "cetus"])
    parser.add_argument("predictions", metavar="PRED", type=Path, help="predictions of that dataset's imagesTs")
    parser.add_argument("-o", dest="output", metavar="ZIP", type=Path, required=True, help="zip file to write")
    parser.add_argument("-d", dest="dataset", help="id or name of that dataset; default: the only one of its name")
    parser.set_defaults(run=_submit)


def _submit(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.challenges.command import submit

    print(submit(arguments.challenge, arguments.predictions, arguments.output, dataset=arguments.dataset))
    return 0
