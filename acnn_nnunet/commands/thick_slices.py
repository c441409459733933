"""Commands for thick slices."""

import argparse


def add_parsers(commands) -> None:
    """Add the parsers of these commands."""
    _add_plan_hr(commands)


def _add_plan_hr(commands) -> None:
    parser = commands.add_parser("plan-hr", help="plan a configuration that takes thick slices and returns thin ones")
    parser.add_argument("dataset", help="dataset id or name")
    parser.add_argument("--factor", type=int, required=True, help="K, thin slices in a thick one")
    parser.add_argument("-c", dest="base", default="3d_fullres", help="configuration of the thin slices")
    parser.add_argument("-p", dest="plans", default="nnUNetPlans", help="plans identifier")
    parser.add_argument("-n", dest="name", help="name of the new configuration; default: 3d_hr_xK")
    parser.add_argument(
        "--axis",
        type=int,
        choices=[0, 1, 2],
        help="slice direction as a NIfTI axis; default: the axis of the largest spacing, or the last",
    )
    parser.set_defaults(run=_plan_hr)


def _plan_hr(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.sr.planning import plan_hr

    print(
        plan_hr(
            arguments.dataset,
            factor=arguments.factor,
            base=arguments.base,
            plans_identifier=arguments.plans,
            name=arguments.name,
            axis=arguments.axis,
        )
    )
    return 0
