"""Commands about what the code knows: codes of label maps and images, and a report of the latent space."""

import argparse
from pathlib import Path


def add_parsers(commands) -> None:
    """Add the parsers of these commands."""
    _add_codes(commands)
    _add_latent_report(commands)
    _add_classify(commands)
    _add_plausibility(commands)
    _add_refine(commands)


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
    from acnn_nnunet.fold_prior.loading import choose_prior

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
    parser.add_argument("--align", action="store_true", help="shift and turn label maps to lie as the mean shape does")
    parser.add_argument("--groups", type=Path, help="groups.csv with the columns case, patient, phase, group")
    parser.set_defaults(run=_codes)


def _codes(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.latent.codes.command import CodesOptions, write_folder_codes

    options = CodesOptions(
        prior_of(arguments),
        images=arguments.images,
        around=arguments.around,
        align=arguments.align,
        groups_file=arguments.groups,
        device=arguments.device,
    )
    print(write_folder_codes(arguments.folder, arguments.output, options).text)
    return 0


def _add_latent_report(commands) -> None:
    parser = commands.add_parser("latent-report", help="what the numbers of a code mean: a page of shapes")
    parser.add_argument("source", type=Path, help="folder of label maps, or a table that codes wrote")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder to write")
    add_prior_options(parser)
    parser.add_argument("--groups", type=Path, help="groups.csv with the columns case, patient, phase, group")
    parser.add_argument("--dimensions", type=int, nargs="+", help="to traverse, from 0 on; default: two")
    parser.add_argument("--directions", type=int, default=3, help="principal directions to traverse; default: 3")
    parser.add_argument("--between", nargs=2, metavar=("A", "B"), help="two cases to interpolate between")
    parser.set_defaults(run=_latent_report)


def _latent_report(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.latent.report.command import LatentReportOptions, latent_report

    options = LatentReportOptions(
        prior_of(arguments),
        groups_file=arguments.groups,
        dimensions=arguments.dimensions,
        num_directions=arguments.directions,
        between=tuple(arguments.between) if arguments.between else None,
        device=arguments.device,
    )
    print(latent_report(arguments.source, arguments.output, options))
    return 0


def _add_classify(commands) -> None:
    parser = commands.add_parser("classify", help="can the codes tell groups of patients apart? forests, arm by arm")
    parser.add_argument("codes", metavar="CODES", type=Path, help="table of `codes`, or folder of fold_0.csv and on")
    parser.add_argument("groups", metavar="GROUPS", type=Path, help="groups.csv: case, patient, phase, group")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder to write")
    parser.add_argument("--classes", nargs="+", metavar="GROUP", help="groups to tell apart; default: all")
    parser.add_argument("--splits", type=Path, help="splits_final.json of the priors, with a folder of codes by fold")
    parser.add_argument("--folds", type=int, default=10, help="of the cross-validation without --splits, default 10")
    parser.add_argument("--runs", type=int, default=20, help="seeds of forests (and folds), default 20")
    parser.add_argument("--arm", dest="arms", nargs="+", default=[], metavar="NAME=CODES", help="codes to compare with")
    parser.add_argument("--clinical", type=Path, metavar="CSV", help="clinical.csv of `evaluate`, or other features")
    parser.add_argument("--side", choices=["reference", "prediction"], default="reference", help="of clinical.csv")
    parser.add_argument("--pca", type=Path, metavar="LABELS", help="folder of label maps: an arm of PCA of these")
    parser.add_argument("--prior", help="with --pca: the prior whose grid to take; {fold} in it with --splits")
    parser.add_argument("--align", action="store_true", help="with --pca: lay label maps as the mean shape lies")
    parser.set_defaults(run=_classify)


def _classify(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.latent.classification.command import ClassificationOptions, run_classification

    options = ClassificationOptions(
        classes=arguments.classes,
        splits=arguments.splits,
        num_folds=arguments.folds,
        num_runs=arguments.runs,
        arms=arguments.arms,
        clinical=arguments.clinical,
        side=arguments.side,
        pca=arguments.pca,
        prior=arguments.prior,
        align=arguments.align,
    )
    print(run_classification(arguments.codes, arguments.groups, arguments.output, options))
    return 0


def _add_plausibility(commands) -> None:
    parser = commands.add_parser("plausibility", help="which predictions to look at, without ground truth")
    parser.add_argument("prediction", metavar="PRED", type=Path, help="folder of predicted label maps")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder to write")
    add_prior_options(parser)
    parser.add_argument("--images", type=Path, help="the images that were segmented, to compare their codes")
    parser.add_argument("--rules", type=Path, help="JSON of anatomical rules; default: what dataset.json declares")
    parser.add_argument("--calibration", type=Path, metavar="JSON", help="flag by a calibration.json")
    parser.add_argument("--calibrate", type=Path, metavar="GT", help="references: make a calibration.json of PRED")
    parser.add_argument("--recall", type=float, default=0.9, help="share of bad cases to flag, default 0.9")
    parser.add_argument("--bad-dice", type=float, help="what is bad; default: the worst tenth of PRED")
    parser.add_argument("--groups", type=Path, help="case,patient,phase,group; default: groups.csv beside GT")
    parser.set_defaults(run=_plausibility)


def _plausibility(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.plausibility.command import PlausibilityOptions, plausibility

    options = PlausibilityOptions(
        prior_of(arguments),
        images=arguments.images,
        rules_file=arguments.rules,
        calibration_file=arguments.calibration,
        references=arguments.calibrate,
        recall=arguments.recall,
        bad_dice=arguments.bad_dice,
        groups_file=arguments.groups,
        device=arguments.device,
    )
    outcome = plausibility(arguments.prediction, arguments.output, options)
    print(outcome.text)
    return outcome.exit_code


def _add_refine(commands) -> None:
    parser = commands.add_parser("refine", help="label maps of a first stage, corrected by a second one (AESegTrainer)")
    parser.add_argument("-i", dest="source", type=Path, required=True, help="folder of label maps")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder to write")
    parser.add_argument("-d", dest="dataset", required=True, help="dataset id or name")
    parser.add_argument("-c", dest="configuration", required=True, help="e.g. 3d_fullres")
    parser.add_argument("-tr", dest="trainer", default="AESegTrainer", help="AESegTrainer or AESegMTrainer")
    parser.add_argument("-f", dest="fold", default="0", help="its number, or all")
    parser.add_argument("-p", dest="plans", default="nnUNetPlans", help="plans identifier")
    parser.add_argument("-chk", dest="checkpoint", default="checkpoint_final.pth", help="checkpoint of the fold")
    parser.add_argument("-device", default="cuda", choices=["cuda", "cpu", "mps"], help="as in nnUNetv2_predict")
    parser.set_defaults(run=_refine)


def _refine(arguments: argparse.Namespace) -> int:
    from acnn_nnunet.refinement.command import RefineOptions, refine

    options = RefineOptions(
        arguments.dataset,
        arguments.configuration,
        trainer=arguments.trainer,
        fold=arguments.fold,
        plans_identifier=arguments.plans,
        checkpoint_name=arguments.checkpoint,
        device=arguments.device,
    )
    outcome = refine(arguments.source, arguments.output, options)
    print(outcome.text)
    return outcome.exit_code
