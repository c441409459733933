"""The `acnn-nnunet` command: parse, then call one function. Heavy imports stay inside the subcommands."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from acnn_nnunet import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; a user's mistake becomes one line on stderr and exit code 1."""
    arguments = _parse(argv)
    try:
        return arguments.run(arguments) or 0
    except (ValueError, OSError, RuntimeError) as error:
        print(f"acnn-nnunet {arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"acnn-nnunet {arguments.command}: interrupted", file=sys.stderr)
        return 130


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = build_parser()
    arguments, rest = parser.parse_known_args(argv)
    # argparse takes positionals in one run only, and `key=value` words come after the options.
    if rest and "settings" in arguments and not any(word.startswith("-") for word in rest):
        arguments.settings += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return arguments


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="acnn-nnunet", description="Learnt anatomy for nnU-Net v2.")
    parser.add_argument("--version", action="version", version=f"acnn-nnunet {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_doctor(commands)
    _add_env(commands)
    _add_demo(commands)
    _add_configure(commands)
    _add_export_stock(commands)
    _add_evaluate(commands)
    _add_merge(commands)
    _add_evaluate_sr(commands)
    _add_compare(commands)
    _add_convert(commands)
    _add_submit(commands)
    return parser


def _add_doctor(commands) -> None:
    parser = commands.add_parser("doctor", help="is everything in place to train?")
    parser.add_argument("-device", default="cuda", choices=["cuda", "cpu", "mps"], help="as in nnUNetv2_train")
    parser.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.host.doctor import examine

    findings = examine(device=arguments.device)
    for finding in findings:
        print(finding)
    return 0 if all(finding.ok for finding in findings) else 1


def _add_env(commands) -> None:
    parser = commands.add_parser("env", help="print the export line, for those who set nnUNet_extTrainer themselves")
    parser.set_defaults(run=_env)


def _env(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.host.registration import export_line

    print(export_line())
    return 0


def _add_demo(commands) -> None:
    parser = commands.add_parser("demo", help="the whole job on a generated phantom heart, 10 minutes on two cores")
    parser.add_argument("-o", dest="output", type=Path, default=Path("acnn_demo"), help="default: ./acnn_demo")
    parser.add_argument("-device", default="cpu", choices=["cuda", "cpu", "mps"], help="as in nnUNetv2_train")
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.demo import run_demo

    print(run_demo(arguments.output, device=arguments.device))
    return 0


def _add_configure(commands) -> None:
    parser = commands.add_parser("configure", help="derive a configuration with an `acnn` block, without editing JSON")
    parser.add_argument("dataset", help="dataset id or name")
    parser.add_argument("-c", dest="base", required=True, help="configuration to derive from, e.g. 3d_fullres")
    parser.add_argument("-n", dest="name", required=True, help="name of the new configuration")
    parser.add_argument("-p", dest="plans", default="nnUNetPlans", help="plans identifier")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings; a bad key lists the good ones")
    parser.set_defaults(run=_configure)


def _configure(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.host.configure import configure

    print(
        configure(
            arguments.dataset,
            base=arguments.base,
            name=arguments.name,
            plans_identifier=arguments.plans,
            assignments=arguments.settings,
        )
    )
    return 0


def _add_export_stock(commands) -> None:
    parser = commands.add_parser("export-stock", help="a model folder that plain nnU-Net predicts with")
    parser.add_argument("model_folder", type=Path, help="…/ACNNTrainer__<plans>__<configuration>")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder to write")
    parser.set_defaults(run=_export_stock)


def _export_stock(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.host.export import export_stock

    print(export_stock(arguments.model_folder, arguments.output))
    return 0


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
    parser.add_argument("-np", dest="num_processes", type=int, help="processes; default: nnU-Net's nnUNet_def_n_proc")
    parser.add_argument("--continue", dest="continue_evaluation", action="store_true", help="keep what is scored")
    parser.add_argument("-num_parts", type=int, default=1, help="of how many parts this is one; then run merge")
    parser.add_argument("-part_id", type=int, default=0, help="which part, from 0")
    parser.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.evaluation.evaluate import evaluate

    outcome = evaluate(
        arguments.reference,
        arguments.prediction,
        arguments.output,
        labels=arguments.labels,
        ignore_label=arguments.ignore_label,
        dataset_json=arguments.djfile,
        tolerance_mm=arguments.tolerance,
        groups=arguments.groups,
        images=arguments.images,
        num_processes=_num_processes(arguments),
        continue_evaluation=arguments.continue_evaluation,
        num_parts=arguments.num_parts,
        part_id=arguments.part_id,
    )
    print(outcome.text)
    return 0 if outcome.complete else 1


def _add_merge(commands) -> None:
    parser = commands.add_parser("merge", help="results of an evaluation that was run in parts")
    parser.add_argument("output", type=Path, help="folder given to evaluate with -o")
    parser.set_defaults(run=_merge)


def _merge(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.evaluation.evaluate import merge_parts

    outcome = merge_parts(arguments.output)
    print(outcome.text)
    return 0 if outcome.complete else 1


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
    from acnn_nnunet.evaluation.super_resolution import evaluate_super_resolution

    print(
        evaluate_super_resolution(
            arguments.reference,
            arguments.prediction,
            arguments.output,
            masks=arguments.masks,
            data_range=arguments.data_range,
            num_processes=_num_processes(arguments),
        )
    )
    return 0


def _add_compare(commands) -> None:
    parser = commands.add_parser("compare", help="paired statistics of evaluations of the same cases")
    parser.add_argument("arms", nargs="+", metavar="NAME=DIR", help="evaluations to compare; the first is the baseline")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder to write")
    parser.add_argument("--groups", type=Path, help="case,patient,phase,group: tables per group, tests per patient")
    parser.add_argument("--published", choices=["acdc", "cetus", "paper"], help="published results beside ours")
    parser.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.evaluation.comparison import compare
    from acnn_nnunet.evaluation.paired_scores import parse_arms

    print(compare(parse_arms(arguments.arms), arguments.output, groups=arguments.groups, published=arguments.published))
    return 0


def _add_convert(commands) -> None:
    parser = commands.add_parser("convert", help="a challenge's own folders as an nnU-Net raw dataset")
    parser.add_argument("challenge", choices=["acdc", "cetus"])
    parser.add_argument("source", metavar="SRC", type=Path, help="the challenge's folder as it is unpacked")
    parser.add_argument("dataset_id", metavar="ID", type=int, help="number of the new dataset, 1 to 999")
    parser.set_defaults(run=_convert)


def _convert(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.datasets.acdc import convert_acdc
    from acnn_nnunet.datasets.cetus import convert_cetus

    converters = {"acdc": convert_acdc, "cetus": convert_cetus}
    print(converters[arguments.challenge](arguments.source, arguments.dataset_id))
    return 0


def _add_submit(commands) -> None:
    parser = commands.add_parser("submit", help="check predictions of a challenge's test cases and zip them")
    parser.add_argument("challenge", choices=["acdc", "cetus"])
    parser.add_argument("predictions", metavar="PRED", type=Path, help="predictions of that dataset's imagesTs")
    parser.add_argument("-o", dest="output", metavar="ZIP", type=Path, required=True, help="zip file to write")
    parser.add_argument("-d", dest="dataset", help="id or name of that dataset; default: the only one of its name")
    parser.set_defaults(run=_submit)


def _submit(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.datasets.acdc import submit_acdc
    from acnn_nnunet.datasets.cetus import submit_cetus

    submit = {"acdc": submit_acdc, "cetus": submit_cetus}
    print(submit[arguments.challenge](arguments.predictions, arguments.output, dataset=arguments.dataset))
    return 0


def _num_processes(arguments: argparse.Namespace) -> int:
    from nnunetv2.configuration import default_num_processes

    return default_num_processes if arguments.num_processes is None else arguments.num_processes


if __name__ == "__main__":
    sys.exit(main())
