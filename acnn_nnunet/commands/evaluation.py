"""Commands that compare predictions with references: scores, paired statistics, image quality."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acnn_nnunet.commands.options import GROUPS, add_execution, add_output, add_rules, execution_of, options_from


def add_parsers(commands: argparse._SubParsersAction) -> None:
    """Add the parsers of these commands."""
    _add_evaluate(commands)
    _add_merge(commands)
    _add_evaluate_sr(commands)
    _add_compare(commands)
    _add_reader_study(commands)
    _add_reader_scores(commands)


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("evaluate", help="overlap, distances in mm and volumes of a folder of predictions")
    parser.add_argument("reference", metavar="GT", type=Path, help="folder of reference label maps")
    parser.add_argument("prediction", metavar="PRED", type=Path, help="folder of predictions, same file names")
    add_output(parser)
    parser.add_argument(
        "-djfile",
        dest="dataset_json",
        metavar="FILE",
        type=Path,
        help="dataset.json; default: looked for in and above both folders",
    )
    parser.add_argument(
        "-l", "--labels", nargs="+", action="extend", metavar="LABEL", help="1, 1,2 for a region, LV=3 to name it"
    )
    parser.add_argument("-il", dest="ignore_label", type=int, help="value of unannotated voxels, with --labels")
    parser.add_argument(
        "--tolerance",
        dest="tolerance_mm",
        type=float,
        default=2.0,
        metavar="MM",
        help="tolerance of the surface Dice, default 2 mm",
    )
    parser.add_argument(
        "--piece-iou", type=float, default=0.5, metavar="IOU", help="least IoU of two pieces that match, default 0.5"
    )
    add_rules(parser)
    parser.add_argument("--groups", type=Path, help=f"{GROUPS}; default: the one next to GT")
    parser.add_argument("--images", type=Path, help="images for the pictures; default: nnU-Net's next to GT")
    parser.add_argument(
        "--chill", dest="only_predicted", action="store_true", help="as in nnU-Net: score the predicted cases only"
    )
    add_execution(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.casewise.processes import prepare_workers
    from acnn_nnunet.evaluation.workers import PRELOADED

    execution = execution_of(arguments)
    if execution.uses_processes:
        prepare_workers(PRELOADED)  # before this process loads as much itself
    from acnn_nnunet.evaluation.command import EvaluationOptions, evaluate

    options = options_from(EvaluationOptions, arguments, execution=execution)
    outcome = evaluate(arguments.reference, arguments.prediction, arguments.output, options)
    return outcome.text, outcome.exit_code


def _add_merge(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("merge", help="results of a command that was run in parts")
    parser.add_argument("output", type=Path, help="what the parts were given with -o, or named at their end")
    parser.set_defaults(run=_merge)


def _merge(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.casewise.parts import command_of_parts

    outcome = _merger_of(command_of_parts(arguments.output))(arguments.output)
    return outcome.text, outcome.exit_code


def _merger_of(command: str) -> Callable[[Path], Any]:
    """Return the function that joins the parts of a command."""
    from acnn_nnunet.casewise import file_results
    from acnn_nnunet.evaluation import command as evaluate
    from acnn_nnunet.evaluation.images import command as evaluate_sr

    if command == evaluate.COMMAND:
        return evaluate.merge_parts
    if command == evaluate_sr.COMMAND:
        return evaluate_sr.merge_parts
    if command == "plausibility":
        from acnn_nnunet.plausibility.command import merge_parts as merge_plausibility

        return merge_plausibility
    if command == "refine":
        from acnn_nnunet.refinement import command as refine

        return refine.merge_parts
    if command == "convert":
        from acnn_nnunet.challenges.command import merge_parts as merge_conversion

        return merge_conversion
    if command == "codes":
        from acnn_nnunet.latent.codes.command import merge_parts

        return merge_parts
    return file_results.merge_files


def _add_evaluate_sr(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("evaluate-sr", help="SSIM and PSNR of a folder of reconstructed images")
    parser.add_argument("reference", metavar="GT", type=Path, help="folder of reference images")
    parser.add_argument("prediction", metavar="PRED", type=Path, help="folder of reconstructed images, same file names")
    add_output(parser)
    parser.add_argument("--mask", dest="masks", metavar="DIR", type=Path, help="compare where these images are not 0")
    parser.add_argument(
        "--data-range",
        type=_data_range,
        metavar="reference|FLOAT",
        help="range of SSIM and PSNR; default: reference, each reference's maximum - minimum",
    )
    add_execution(parser)
    parser.set_defaults(run=_evaluate_sr)


def _data_range(word: str) -> float | None:
    return None if word == "reference" else float(word)


def _evaluate_sr(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.evaluation.images.command import ImageOptions, evaluate_super_resolution

    options = options_from(ImageOptions, arguments, execution=execution_of(arguments))
    outcome = evaluate_super_resolution(arguments.reference, arguments.prediction, arguments.output, options)
    return outcome.text, outcome.exit_code


def _add_compare(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("compare", help="paired statistics of evaluations of the same cases")
    parser.add_argument("arms", nargs="+", metavar="NAME=DIR", help="evaluations to compare; the first is the baseline")
    add_output(parser)
    parser.add_argument("--groups", type=Path, help=f"{GROUPS}: tables per group, tests per patient")
    parser.add_argument("--published", choices=["acdc", "cetus", "paper"], help="show published results next to ours")
    parser.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.evaluation.comparison.command import ComparisonOptions, compare
    from acnn_nnunet.evaluation.comparison.scores import parse_arms

    options = options_from(ComparisonOptions, arguments)
    return compare(parse_arms(arguments.arms), arguments.output, options), 0


def _add_reader_study(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("reader-study", help="a page in which readers rate anonymous images or segmentations")
    parser.add_argument("arms", nargs="+", metavar="NAME=DIR", help="images or label maps to rate, same case names")
    parser.add_argument("--reference", type=Path, required=True, help="references, shown next to each arm")
    parser.add_argument("--input", dest="inputs", type=Path, help="images that the arms started from, on any grid")
    parser.add_argument("--images", type=Path, help="the arms are label maps: draw them over these images")
    parser.add_argument("--question", help="to the readers; default: accuracy of boundaries and geometry")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the items")
    add_output(parser)
    parser.set_defaults(run=_reader_study)


def _reader_study(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.evaluation.comparison.scores import parse_arms
    from acnn_nnunet.evaluation.reading.study.command import StudyOptions, make_study

    options = options_from(StudyOptions, arguments)
    return make_study(parse_arms(arguments.arms), arguments.reference, arguments.output, options), 0


def _add_reader_scores(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("reader-scores", help="mean opinion scores, tests and agreement of a reader study")
    parser.add_argument("key", metavar="KEY", type=Path, help="key.json that reader-study wrote")
    parser.add_argument("exports", nargs="+", metavar="EXPORT", type=Path, help="files that readers exported")
    add_output(parser)
    parser.set_defaults(run=_reader_scores)


def _reader_scores(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.evaluation.reading.scores.command import score_readers

    outcome = score_readers(arguments.key, arguments.exports, arguments.output)
    return outcome.text, outcome.exit_code
