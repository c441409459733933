"""Commands about what the code knows: codes of label maps and images, and a report of the latent space."""

import argparse
from pathlib import Path


def add_parsers(commands) -> None:
    """Add the parsers of these commands."""
    _add_codes(commands)


def add_prior_options(parser) -> None:
    """Add the options that name a prior: its file, or dataset, configuration and fold."""
    parser.add_argument("--prior", type=Path, help="prior file, instead of -d, -c and -f")
    parser.add_argument("-d", dest="dataset", help="dataset id or name")
    parser.add_argument("-c", dest="configuration", help="e.g. 3d_fullres")
    parser.add_argument("-f", dest="fold", help="its number, or all")
    parser.add_argument("-p", dest="plans", default="nnUNetPlans", help="plans identifier")
    parser.add_argument("-device", default="cpu", choices=["cuda", "cpu", "mps"], help="as in nnUNetv2_predict")


def prior_of(arguments: argparse.Namespace) -> Path:
    """Return the prior file that the options name."""
    from acnn_nnunet.host.label_codes import choose_prior

    return choose_prior(
        arguments.prior,
        dataset=arguments.dataset,
        configuration=arguments.configuration,
        fold=arguments.fold,
        plans_identifier=arguments.plans,
    )


def _add_codes(commands) -> None:
    parser = commands.add_parser("codes", help="codes of label maps or images, as a table")
    parser.add_argument("folder", type=Path, help="of label maps, CASE.nii.gz, or images, CASE_0000.nii.gz")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="table to write, .csv or .parquet")
    add_prior_options(parser)
    parser.add_argument("--images", action="store_true", help="the folder holds images: take the predictor")
    parser.add_argument("--around", type=Path, help="with --images: label maps around whose anatomy to look")
    parser.add_argument("--groups", type=Path, help="groups.csv with the columns case, patient, phase, group")
    parser.set_defaults(run=_codes)


def _codes(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.host.latent_folder import write_folder_codes

    print(
        write_folder_codes(
            arguments.folder,
            arguments.output,
            prior_file=prior_of(arguments),
            images=arguments.images,
            around=arguments.around,
            groups_file=arguments.groups,
            device=arguments.device,
        )
    )
    return 0
