r"""Does plausibility find bad predictions: calibrated on some held-out cases, measured on others.

    python -m scripts.studies.plausibility prior acdc --work /scratch/study
    python -m scripts.studies.plausibility run acdc --prior PRIOR.pth --work /scratch/plausibility \
        --predictions /scratch/study/acdc/predictions/3d_study_none_seed0 --test /scratch/study/acdc/test \
        --splits /scratch/study/acdc/preprocessed/Dataset027_ACDC/splits_final.json --rules rules.json
    python -m scripts.studies.plausibility report           # docs/evidence/plausibility.md, from the JSON

The folders are those that `scripts.studies.defaults files` writes: predictions CASE__KIND.nii.gz, TEST/images and
TEST/labels, KIND being clean or a corruption. Calibrations are made of the validation cases of one fold and measured
on those of another; and in two halves of the measured cases as well, patient by patient, each half judged by a
calibration of the other: the prior may have seen labels of the first fold's cases.

Resumable: the scores of a folder are kept in WORK and not taken again with the same prior and rules. Every arm is a
choice of scores and of what is learnt from; all of them go into the JSON.
"""

import argparse
from pathlib import Path

from scripts.studies.defaults.arms import ALL_FOLD, FEW_FOLD, STUDIES
from scripts.studies.defaults.workplace import Workplace
from scripts.studies.plausibility.workplace import PRIOR, Run, write_report


def main() -> None:
    """Run one step of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    prior = steps.add_parser("prior")
    prior.add_argument("name", choices=STUDIES, help="of the study of defaults")
    prior.add_argument("--work", type=Path, required=True, help="scratch folder of the study of defaults, prepared")
    run = steps.add_parser("run")
    run.add_argument("name", help="of the run, its key in the JSON")
    run.add_argument("--prior", type=Path, required=True, help="prior file")
    run.add_argument("--predictions", type=Path, required=True, help="folder of CASE__KIND.nii.gz")
    run.add_argument("--test", type=Path, required=True, help="holds images and labels of CASE__KIND")
    run.add_argument("--splits", type=Path, required=True, help="splits_final.json")
    run.add_argument("--work", type=Path, required=True, help="scratch folder, outside of the repository")
    run.add_argument("--rules", type=Path, help="JSON of rules; default: what the prior's dataset.json declares")
    run.add_argument("--groups", type=Path, help="groups.csv: whose case is whose")
    run.add_argument("--calibrate-on", type=int, default=FEW_FOLD, metavar="FOLD", help=f"default {FEW_FOLD}")
    run.add_argument("--measure-on", type=int, default=ALL_FOLD, metavar="FOLD", help=f"default {ALL_FOLD}")
    run.add_argument("--threads", type=int, default=2, help="for the timing, default 2")
    steps.add_parser("report")
    arguments = parser.parse_args()
    if arguments.step == "report":
        write_report()
        return
    if arguments.step == "prior":
        place = Workplace(arguments.name, arguments.work.absolute() / arguments.name)
        place.configure_prior(PRIOR)
        place.train_prior(PRIOR)
        print(place.prior_file(PRIOR))
        return
    Run(arguments).run()


if __name__ == "__main__":
    main()
