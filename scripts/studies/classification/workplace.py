"""Workplace of the study of classification: priors of ten folds, codes, tables."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from acnn_nnunet.files.safe_writes import write_json
from scripts.studies.defaults.workplace import BASE, PRIOR_CONFIGURATION, Workplace
from scripts.studies.defaults.workplace import CONFIGURATION as COARSE
from scripts.studies.host_folders import ROOT

NUM_FOLDS = 10
CONFIGURATION = "3d_classification"
RESULTS = ROOT / "benchmarks" / "latent" / "classification.json"
CLASSES = {"3_classes": ["NOR", "DCM", "HCM"], "5_classes": ["NOR", "DCM", "HCM", "MINF", "RV"]}
ALL = "all"  # nnU-Net's fold of all cases: the prior of the loose arm
# Hearts lie one way round in short-axis images, and no predictor is needed for the codes of label maps.
SETTINGS = {
    "grid": "roi",
    "architecture": "hybrid",
    "code_size": 64,
    "mirroring": False,
    "rotation_deg": 15,
    "train_predictor": False,
    "prior_num_epochs": 7,
    "num_iterations_per_epoch": 100,
    "num_val_iterations_per_epoch": 4,
    "seed": 0,
}


def prepare(workplace: Workplace, raw: Path) -> None:
    """Plan, preprocess, split into ten folds by person, and write the priors' configuration."""
    dataset = workplace.study.dataset_id
    workplace.make()
    workplace.link_raw(next(raw.glob(f"Dataset{dataset:03d}_*")))
    workplace.command(f"nnUNetv2_plan_and_preprocess -d {dataset} -c {BASE} --no_pp -np 1")
    workplace.write_configuration()
    workplace.command(f"nnUNetv2_preprocess -d {dataset} -c {COARSE} -np 1")
    write_splits(workplace)
    workplace.configure(dataset, PRIOR_CONFIGURATION, CONFIGURATION, SETTINGS)


def write_splits(workplace: Workplace) -> None:
    """Write the study's folds where the host looks for them: stratified by group, all cases of a person in one fold."""
    from acnn_nnunet.files.patients import GROUPS_FILE, read_conversion_report, read_groups, split_by_patient

    twins = read_conversion_report(workplace.raw).twins
    rows = read_groups(workplace.raw / GROUPS_FILE)
    rows = [replace(row, patient=twins.get(row.patient, row.patient)) for row in rows]
    splits = split_by_patient(rows, num_folds=NUM_FOLDS)
    (workplace.preprocessed / "splits_final.json").write_text(json.dumps(splits, indent=2))


def train(workplace: Workplace, folds: list[str], *, minutes: float) -> None:
    """Train the priors that are not there, as long as time is left to start one."""
    started = time.monotonic()
    for fold in folds:
        if time.monotonic() - started > 60 * minutes:
            sys.exit(f"{minutes} minutes are over; the next prior is that of fold {fold}")
        if not prior_file(workplace, fold).is_file():
            workplace.train(CONFIGURATION, fold, "ShapePriorTrainer")
        print(f"fold {fold}: {prior_file(workplace, fold)}, {time.monotonic() - started:.0f} s", flush=True)


def classify(workplace: Workplace) -> None:
    """Encode with every prior that is there, and make the tables that all priors are there for, if they are not yet."""
    for fold in [*range(NUM_FOLDS), ALL]:
        if prior_file(workplace, fold).is_file() and not pca_file(workplace, fold).is_file():
            encode(workplace, fold)
    write_hand_made(workplace)
    for arm, folds in {"loose": [ALL], "strict": list(range(NUM_FOLDS))}.items():
        if missing := [fold for fold in folds if not pca_file(workplace, fold).is_file()]:
            print(f"{arm} arm: the priors of folds {', '.join(map(str, missing))} are missing")
            continue
        for name, classes in CLASSES.items():
            make_table(workplace, arm, name, classes)


def encode(workplace: Workplace, fold: str | int) -> None:
    """Write the codes of all cases by a fold's prior, and by PCA fitted to the label maps of the same training cases.

    The label maps are those that nnU-Net preprocessed, laid on the prior's grid, whose box is the fold's, and as the
    prior's mean shape lies.
    """
    import numpy as np
    import torch
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from acnn_nnunet.files.patients import GROUPS_FILE, read_groups
    from acnn_nnunet.fold_prior.alignment import align_to
    from acnn_nnunet.fold_prior.held_out import load_on_grid
    from acnn_nnunet.latent.codes.pca import foreground_values
    from acnn_nnunet.latent.codes.table import CodeTable, write_codes
    from acnn_nnunet.shape_prior.label_maps.pca import pca_codes
    from acnn_nnunet.shape_prior.prior_file import load_prior

    prior = load_prior(prior_file(workplace, fold))
    rows = read_groups(workplace.raw / GROUPS_FILE)
    held_out = set() if fold == ALL else set(splits_of(workplace)[int(fold)]["val"])
    assert set(prior.spec.training_cases) == {row.case for row in rows} - held_out, "the prior saw other cases"
    configuration = PlansManager(str(workplace.plans_file)).get_configuration(CONFIGURATION)
    folder = str(workplace.preprocessed / configuration.data_identifier)
    dataset = infer_dataset_class(folder)(folder, [row.case for row in rows])
    labels, grid = prior.spec.label_space, prior.spec.make_grid(tuple(configuration.spacing))
    names = dict(prior.spec.labels)
    maps = torch.cat([load_on_grid(dataset, row.case, names, labels, grid)[1] for row in rows])
    with torch.no_grad():
        mean_shape = labels.hardened(labels.probabilities(prior.network.decoder(prior.network.code_mean[None])))[0]
        maps = align_to(maps, mean_shape, spacing_mm=prior.spec.spacing_mm)
        codes = torch.cat([prior.network.encoder(each) for each in maps.split(8)]).numpy()
    flat = np.stack([foreground_values(each.numpy(), regions=labels.regions) for each in maps])
    fitted = np.array([row.case in prior.spec.training_cases for row in rows])
    linear = pca_codes(flat, fitted, components=prior.spec.code_size)
    for file, values in ((codes_file(workplace, fold), codes), (pca_file(workplace, fold), linear)):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_codes(file, CodeTable(tuple(rows), values))
    print(f"encoded by the prior of fold {fold}")


def write_hand_made(workplace: Workplace) -> None:
    """Write volumes, ejection fractions, mass and wall thickness of every patient, from the raw label maps."""
    import SimpleITK

    from acnn_nnunet.evaluation.clinical.indices import MYOCARDIUM_G_PER_ML
    from acnn_nnunet.files.patients import GROUPS_FILE, read_groups
    from acnn_nnunet.latent.report.measures import wall_thickness_mm

    if hand_made_file(workplace).is_file():
        return
    measured: dict[str, dict[str, float]] = {}
    for row in read_groups(workplace.raw / GROUPS_FILE):
        image = SimpleITK.ReadImage(str(workplace.raw / "labelsTr" / f"{row.case}.nii.gz"))
        values, spacing_mm = SimpleITK.GetArrayFromImage(image), image.GetSpacing()[::-1]
        voxel_ml = spacing_mm[0] * spacing_mm[1] * spacing_mm[2] / 1000
        rv, myo, lv = (float((values == label).sum()) * voxel_ml for label in (1, 2, 3))
        end = {"ED": "d", "ES": "s"}[row.phase]
        thickness = wall_thickness_mm(values == 3, values == 2, spacing_mm)
        assert thickness is not None, row.case
        own = measured.setdefault(row.patient, {})
        own |= {f"lv_e{end}v_ml": lv, f"rv_e{end}v_ml": rv, f"wall_thickness_e{end}_mm": thickness}
        own |= {"myo_mass_g": myo * MYOCARDIUM_G_PER_ML} if row.phase == "ED" else {"myo_esv_ml": myo}
    for own in measured.values():
        own |= {
            f"{side}_ef_percent": 100 * (1 - own[f"{side}_esv_ml"] / own[f"{side}_edv_ml"]) for side in ("lv", "rv")
        }
    names = sorted(next(iter(measured.values())))
    lines = [",".join(["patient", *names])]
    lines += [",".join([patient, *(f"{own[name]:.6g}" for name in names)]) for patient, own in measured.items()]
    hand_made_file(workplace).write_text("\n".join(lines) + "\n")


def make_table(workplace: Workplace, arm: str, name: str, classes: list[str]) -> None:
    """Run `acnn-nnunet classify` and take its JSON into the benchmarks; twice is once."""
    output = workplace.folder / "classification" / f"{arm}_{name}"
    content = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"settings": SETTINGS, "tables": {}}
    if f"{arm}_{name}" in content["tables"]:
        return
    codes, pca = (file(workplace, ALL) for file in (codes_file, pca_file))
    flags = f"--classes {' '.join(classes)} --clinical {hand_made_file(workplace)}"
    if arm == "strict":
        codes, pca = codes.parent, pca.parent
        flags += f" --splits {workplace.preprocessed / 'splits_final.json'}"
    groups = workplace.raw / "groups.csv"
    workplace.command(f"acnn-nnunet classify {codes} {groups} -o {output} --arm map_pca={pca} {flags}")
    content["tables"][f"{arm}_{name}"] = json.loads((output / "classification.json").read_text())
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_json(RESULTS, content)
    print(f"{arm} arm, {name}: {output / 'classification.html'}")


def splits_of(workplace: Workplace) -> list[dict[str, list[str]]]:
    """Return the study's folds."""
    return json.loads((workplace.preprocessed / "splits_final.json").read_text())


def codes_file(workplace: Workplace, fold: str | int) -> Path:
    """Return where the codes of all cases by a fold's prior lie."""
    return workplace.folder / "codes" / f"fold_{fold}.csv"


def pca_file(workplace: Workplace, fold: str | int) -> Path:
    """Return where the codes of all cases by a fold's PCA lie."""
    return workplace.folder / "map_pca" / f"fold_{fold}.csv"


def hand_made_file(workplace: Workplace) -> Path:
    """Return where the hand-made features lie."""
    return workplace.folder / "hand_made.csv"


def prior_file(workplace: Workplace, fold: str | int) -> Path:
    """Return where the prior of a fold lies."""
    return (
        workplace.trainer_folder(workplace.raw.name, "ShapePriorTrainer", CONFIGURATION, fold) / "checkpoint_final.pth"
    )
