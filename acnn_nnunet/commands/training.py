"""Commands around training: what is in place, the demo, configurations, models for stock nnU-Net."""

import argparse
from pathlib import Path


def add_parsers(commands) -> None:
    """Add the parsers of these commands."""
    _add_doctor(commands)
    _add_env(commands)
    _add_demo(commands)
    _add_configure(commands)
    _add_prior_report(commands)
    _add_export_stock(commands)


def _add_doctor(commands) -> None:
    parser = commands.add_parser("doctor", help="is everything in place to train?")
    parser.add_argument("-device", default="cuda", choices=["cuda", "cpu", "mps"], help="as in nnUNetv2_train")
    parser.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.nnunet.doctor import examine

    findings = examine(device=arguments.device)
    for finding in findings:
        print(finding)
    return 0 if all(finding.ok for finding in findings) else 1


def _add_env(commands) -> None:
    parser = commands.add_parser("env", help="print the export line, for those who set nnUNet_extTrainer themselves")
    parser.set_defaults(run=_env)


def _env(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.nnunet.registration import export_line

    print(export_line())
    return 0


def _add_demo(commands) -> None:
    parser = commands.add_parser("demo", help="the whole job on a generated phantom heart, 10 minutes on two cores")
    parser.add_argument("-o", dest="output", type=Path, default=Path("acnn_demo"), help="default: ./acnn_demo")
    parser.add_argument("-device", default="cpu", choices=["cuda", "cpu", "mps"], help="as in nnUNetv2_train")
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.demo.command import DemoOptions, run_demo

    print(run_demo(arguments.output, DemoOptions(device=arguments.device)))
    return 0


def _add_configure(commands) -> None:
    parser = commands.add_parser(
        "configure",
        help="derive a configuration with an `acnn` block, without editing JSON",
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-h", "--help", nargs="?", metavar="KEY", action=_SettingsHelp, help="this help, or a key's")
    parser.add_argument("dataset", help="dataset id or name")
    parser.add_argument("-c", dest="base", required=True, help="configuration to derive from, e.g. 3d_fullres")
    parser.add_argument("-n", dest="name", required=True, help="name of the new configuration")
    parser.add_argument("-p", dest="plans", default="nnUNetPlans", help="plans identifier")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings; a bad key lists the good ones")
    parser.set_defaults(run=_configure)


class _SettingsHelp(argparse.Action):
    """Print the help of the command with a list of all keys, or of one key."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        from acnn_nnunet.nnunet.configure import describe_key, list_keys

        if values is None:
            parser.epilog = list_keys()
            parser.print_help()
        else:
            try:
                print(describe_key(values))
            except ValueError as error:
                parser.error(str(error))
        parser.exit()


def _configure(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.nnunet.configure import configure

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


def _add_prior_report(commands) -> None:
    parser = commands.add_parser("prior-report", help="is this prior worth using? a verdict and a page")
    parser.add_argument("dataset", help="dataset id or name")
    parser.add_argument("configuration", help="e.g. 3d_fullres")
    parser.add_argument("fold", help="its number; fold all has no held-out cases")
    parser.add_argument("-p", dest="plans", default="nnUNetPlans", help="plans identifier")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder to write")
    parser.add_argument("-device", default="cpu", choices=["cuda", "cpu", "mps"], help="as in nnUNetv2_train")
    parser.set_defaults(run=_prior_report)


def _prior_report(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.prior_report.command import PriorReportOptions, prior_report

    options = PriorReportOptions(
        arguments.dataset,
        arguments.configuration,
        arguments.fold,
        plans_identifier=arguments.plans,
        device=arguments.device,
    )
    print(prior_report(arguments.output, options))
    return 0


def _add_export_stock(commands) -> None:
    parser = commands.add_parser("export-stock", help="a model folder that plain nnU-Net predicts with")
    parser.add_argument("model_folder", type=Path, help="…/ACNNTrainer__<plans>__<configuration>")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder to write")
    parser.set_defaults(run=_export_stock)


def _export_stock(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.nnunet.export import export_stock

    print(export_stock(arguments.model_folder, arguments.output))
    return 0
