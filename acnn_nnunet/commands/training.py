"""Commands around training: set-up, demo, configurations, the prior's report, models for stock nnU-Net."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acnn_nnunet.commands.options import add_dataset, add_device, add_output, add_plans, options_from


def add_parsers(commands: argparse._SubParsersAction) -> None:
    """Add the parsers of these commands."""
    _add_doctor(commands)
    _add_env(commands)
    _add_demo(commands)
    _add_configure(commands)
    _add_prior_report(commands)
    _add_export_stock(commands)


def _add_doctor(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("doctor", help="is everything in place to train?")
    add_device(parser, default="cuda")
    parser.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.nnunet.doctor import examine

    findings = examine(device=arguments.device)
    return "\n".join(map(str, findings)), 0 if all(finding.ok for finding in findings) else 1


def _add_env(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("env", help="print the export line, for those who set nnUNet_extTrainer themselves")
    parser.set_defaults(run=_env)


def _env(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.nnunet.registration import export_line

    return export_line(), 0


def _add_demo(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("demo", help="the whole job on a generated phantom heart, 10 minutes on two cores")
    add_output(parser, what="default: ./acnn_demo", default=Path("acnn_demo"))
    add_device(parser, default="cpu")
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.demo.command import DemoOptions, run_demo

    return run_demo(arguments.output, options_from(DemoOptions, arguments)), 0


def _add_configure(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "configure",
        help="derive a configuration with an `acnn` block, without editing JSON",
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-h", "--help", nargs="?", metavar="KEY", action=_SettingsHelp, help="this help, or a key's")
    add_dataset(parser)
    parser.add_argument("-c", dest="base", required=True, help="configuration to derive from, e.g. 3d_fullres")
    parser.add_argument("-n", dest="name", required=True, help="name of the new configuration")
    add_plans(parser)
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings; a bad key lists the good ones")
    parser.set_defaults(run=_configure)


class _SettingsHelp(argparse.Action):
    """Print the help of the command with a list of all keys, or of one key."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        from acnn_nnunet.nnunet.configure import describe_key, list_keys

        if values is None:
            parser.epilog = list_keys()
            parser.print_help()
        else:
            try:
                print(describe_key(str(values)))
            except ValueError as error:
                parser.error(str(error))
        parser.exit()


def _configure(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.nnunet.configure import configure

    sentence = configure(
        arguments.dataset,
        base=arguments.base,
        name=arguments.name,
        plans_identifier=arguments.plans_identifier,
        assignments=arguments.settings,
    )
    return sentence, 0


def _add_prior_report(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("prior-report", help="is this prior worth using? a verdict and a page")
    add_dataset(parser)
    parser.add_argument("configuration", help="e.g. 3d_fullres")
    parser.add_argument("fold", help="its number; fold all has no held-out cases")
    add_plans(parser)
    add_output(parser)
    add_device(parser, default="cpu")
    parser.set_defaults(run=_prior_report)


def _prior_report(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.prior_report.command import PriorReportOptions, prior_report

    return prior_report(arguments.output, options_from(PriorReportOptions, arguments)), 0


def _add_export_stock(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("export-stock", help="a model folder that plain nnU-Net predicts with")
    parser.add_argument("model_folder", type=Path, help="…/ACNNTrainer__<plans>__<configuration>")
    add_output(parser)
    parser.set_defaults(run=_export_stock)


def _export_stock(arguments: argparse.Namespace) -> tuple[str, int]:
    from acnn_nnunet.nnunet.export import export_stock

    return export_stock(arguments.model_folder, arguments.output), 0
