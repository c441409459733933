"""Commands that judge predictions: scores, paired statistics, image quality."""

import argparse
from pathlib import Path


def add_parsers(commands) -> None:
    """Add the parsers of these commands."""
    _add_evaluate(commands)
    _add_merge(commands)
    _add_evaluate_sr(commands)
    _add_compare(commands)


def _add_evaluate(commands) -> None:
    parser = commands.add_parser("evaluate", help="overlap, distances in mm and volumes of a folder of predictions")
    parser.add_argument("reference", metavar="GT", type=Path, help="folder of reference label maps")
    parser.add_argument("prediction", metavar="PRED", type=Path, help="folder of predictions, same file names")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder to write")
    parser.add_argument("-djfile", type=Path, help="dataset.json; looked for in and above both folders")
    parser.add_argument("-l", "--labels", nargs="+", metavar="LABEL", help="1, 1,2 for a region, LV=3 to name it")
    parser.add_argument("-il", dest="ignore_label", type=int, help="value of unannotated voxels, with --labels")
    parser.add_argument("--tolerance", type=float, default=2.0, metavar="MM", help="of the surface Dice, default 2 mm")
    parser.add_argument("--groups", type=Path, help="case,patient,phase,group; default: groups.csv beside GT")
    parser.add_argument("--images", type=Path, help="images for the report's pictures; default: nnU-Net's beside GT")
    parser.add_argument("--chill", action="store_true", help="as in nnU-Net: no miss where there is no prediction")
    parser.add_argument("-np", dest="num_processes", type=int, help="processes; default: nnU-Net's nnUNet_def_n_proc")
    parser.add_argument("--continue", dest="continue_evaluation", action="store_true", help="keep what is scored")
    parser.add_argument("-num_parts", type=int, default=1, help="of how many parts this is one; then run merge")
    parser.add_argument("-part_id", type=int, default=0, help="which part, from 0")
    parser.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.evaluation.command import EvaluationOptions, evaluate

    options = EvaluationOptions(
        labels=arguments.labels,
        ignore_label=arguments.ignore_label,
        dataset_json=arguments.djfile,
        tolerance_mm=arguments.tolerance,
        groups=arguments.groups,
        images=arguments.images,
        only_predicted=arguments.chill,
        num_processes=_num_processes(arguments),
        continue_evaluation=arguments.continue_evaluation,
        num_parts=arguments.num_parts,
        part_id=arguments.part_id,
    )
    outcome = evaluate(arguments.reference, arguments.prediction, arguments.output, options)
    print(outcome.text)
    return outcome.exit_code


def _add_merge(commands) -> None:
    parser = commands.add_parser("merge", help="results of an evaluation that was run in parts")
    parser.add_argument("output", type=Path, help="folder given to evaluate with -o")
    parser.set_defaults(run=_merge)


def _merge(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.evaluation.command import merge_parts

    outcome = merge_parts(arguments.output)
    print(outcome.text)
    return outcome.exit_code


def _add_evaluate_sr(commands) -> None:
    parser = commands.add_parser("evaluate-sr", help="SSIM and PSNR of a folder of reconstructed images")
    parser.add_argument("reference", metavar="GT", type=Path, help="folder of reference images")
    parser.add_argument("prediction", metavar="PRED", type=Path, help="folder of reconstructed images, same file names")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder to write")
    parser.add_argument("--mask", dest="masks", metavar="DIR", type=Path, help="compare where these images are not 0")
    parser.add_argument(
        "--data-range",
        type=_data_range,
        metavar="reference|FLOAT",
        help="of SSIM and PSNR; default: reference, each one's maximum - minimum",
    )
    parser.add_argument("-np", dest="num_processes", type=int, help="processes; default: nnU-Net's nnUNet_def_n_proc")
    parser.set_defaults(run=_evaluate_sr)


def _data_range(word: str) -> float | None:
    return None if word == "reference" else float(word)


def _evaluate_sr(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.evaluation.images.command import ImageOptions, evaluate_super_resolution

    options = ImageOptions(
        masks=arguments.masks, data_range=arguments.data_range, num_processes=_num_processes(arguments)
    )
    outcome = evaluate_super_resolution(arguments.reference, arguments.prediction, arguments.output, options)
    print(outcome.text)
    return 0


def _add_compare(commands) -> None:
    parser = commands.add_parser("compare", help="paired statistics of evaluations of the same cases")
    parser.add_argument("arms", nargs="+", metavar="NAME=DIR", help="evaluations to compare; the first is the baseline")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder to write")
    parser.add_argument("--groups", type=Path, help="case,patient,phase,group: tables per group, tests per patient")
    parser.add_argument("--published", choices=["acdc", "cetus", "paper"], help="published results beside ours")
    parser.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.evaluation.comparison.command import ComparisonOptions, compare
    from acnn_nnunet.evaluation.comparison.scores import parse_arms

    options = ComparisonOptions(groups=arguments.groups, published=arguments.published)
    print(compare(parse_arms(arguments.arms), arguments.output, options))
    return 0


def _num_processes(arguments: argparse.Namespace) -> int:
    from nnunetv2.configuration import default_num_processes

    return default_num_processes if arguments.num_processes is None else arguments.num_processes
