"""`acnn-nnunet refine`: better label maps after any network, by the learnt anatomy or by a second stage."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.journal import Entries, cases_of_part
from acnn_nnunet.casewise.parts import joined_parts, part_done
from acnn_nnunet.casewise.recorded import CaseWork, header_of, opened_journal, record_cases
from acnn_nnunet.casewise.run import run
from acnn_nnunet.casewise.status import write_status
from acnn_nnunet.casewise.work import Outcome, PerWorker, excluded_of
from acnn_nnunet.files.on_demand import OnDemand
from acnn_nnunet.files.safe_writes import make_output_folder, write_json, write_text
from acnn_nnunet.files.volumes import check_same_grid
from acnn_nnunet.fold_prior.case_files import list_labels
from acnn_nnunet.fold_prior.coder import Coder, load_coder
from acnn_nnunet.nnunet.label_files import LabelMap, image_grid
from acnn_nnunet.plausibility.command import patients_of_cases
from acnn_nnunet.refinement.anatomy_refiner import COMPLETE, METHODS, AnatomyRefiner
from acnn_nnunet.refinement.calibration import Calibration, Trial, calibrate
from acnn_nnunet.refinement.changes import find_changes
from acnn_nnunet.refinement.completion import load_completion
from acnn_nnunet.refinement.guarantee import Guarantee, guarded, load_guard, repair_folder, write_repairs
from acnn_nnunet.refinement.overview import PAGE_FILE, TABLE_FILE, Overview
from acnn_nnunet.refinement.page import draw_changes, render_calibration_page, render_refinement_page
from acnn_nnunet.refinement.predictions import PredictionFiles, list_predictions, read_prediction, write_label_map
from acnn_nnunet.refinement.recipe import Recipe
from acnn_nnunet.refinement.repair.volumes import Repairer
from acnn_nnunet.refinement.second_stage import SecondStageOptions, load_refiner, refine_folder
from acnn_nnunet.refinement.table import RefinedRow, RefinedRows, write_table
from acnn_nnunet.refinement.trials import make_trials
from acnn_nnunet.shape_prior.prior_file import file_sha256

SECOND_STAGE = "second-stage"
COMMAND = "refine"
CALIBRATION_FILE = "refinement.json"
ASSUMPTIONS = (
    "Without a calibration, predictions that hardly resemble their reconstruction (Dice below 0.87) are mended, the "
    "others changed a little, and what is one piece in the prior's mean shape keeps no islands. --calibrate on the "
    "fold's validation predictions says where this helps."
)


@dataclass(frozen=True)
class RefineOptions:
    """How predictions are refined.

    Attributes:
        method: one of `METHODS`, or a second stage.
        prior_file: the shape prior; None for a second stage.
        second_stage: the model that corrects label maps; None for the other methods.
        calibration_file: a `refinement.json` to refine by; it chooses the method.
        references: folder of ground truth, to make a `refinement.json` of these predictions.
        groups_file: with `references`: table of the patient of each case; None takes groups.csv beside them, if any.
        guarantee: anatomical rules that every written label map keeps; None for no promise.
        execution: where the cases are refined.
        device: cpu, cuda or mps.
    """

    method: str = COMPLETE
    prior_file: Path | None = None
    second_stage: SecondStageOptions | None = None
    calibration_file: Path | None = None
    references: Path | None = None
    groups_file: Path | None = None
    guarantee: Guarantee | None = None
    execution: Execution = HERE
    device: str = "cpu"


def refine(source: Path, output: Path, options: RefineOptions) -> Outcome:
    """Write the corrected label map of each prediction under the same name, `refined.csv` and `refined.html`.

    A second stage writes label maps alone.

    Args:
        source: folder that nnUNetv2_predict wrote, with --save_probabilities or without.
        output: folder to write; not the source.
        options: how.

    Raises:
        FileNotFoundError: if there is nothing to read, or no prior or second stage.
        ValueError: if source and output are one, or the folder is of another dataset than the prior.
        OSError: if the output cannot be written.
    """
    source, output = Path(source), Path(output)
    if options.method == SECOND_STAGE:
        assert options.second_stage is not None
        stage = PerWorker(partial(load_refiner, options.second_stage))
        return refine_folder(source, output, stage, options=options.second_stage, execution=options.execution)
    if options.references is not None:
        return calibrate_folder(source, output, options)
    if options.guarantee is not None and options.prior_file is None:
        return repair_folder(source, output, options.guarantee, options=options, execution=options.execution)
    execution = options.execution
    refiner = PerWorker(partial(load_anatomy_refiner, replace(options, execution=HERE)))
    guard = PerWorker(partial(_load_guard, options.guarantee, refiner))
    repairer = guard()  # bad rules are refused before anything is written
    coder = refiner().coder
    cases = list_predictions(source, coder)
    make_output_folder(output, source=source)
    write_json(output / "dataset.json", coder.bundle.dataset_json)
    write_json(output / "plans.json", coder.bundle.plans.plans)
    made_by: dict[str, Any] = {"prior_sha256": coder.prior.sha256, "calibration_sha256": None}
    if options.calibration_file is not None:
        made_by["calibration_sha256"] = file_sha256(options.calibration_file)
    if repairer is not None:
        made_by["rules"] = repairer.plain_rules
    header = header_of(COMMAND, source, options, cases, **made_by)
    work = CaseWork(partial(_refine_case, refiner, guard), _sources, _targets)
    with opened_journal(
        output, header, execution, may_change=("cases",), paths=("source",), keeps_files=True
    ) as journal:
        part = cases_of_part(header["cases"], num_parts=execution.num_parts, part_id=execution.part_id)
        mine = OnDemand(part, partial(_item_of, cases, output))
        record_cases(work, mine, journal, execution=execution)
        entries = journal.entries_of(part)
        if execution.num_parts > 1:
            return part_done(output, execution, entries)
        return _write_results(output, entries, cases, coder, options)


def merge_parts(output: Path) -> Outcome:
    """Write table and page of predictions that were refined in parts.

    Raises:
        FileNotFoundError: if `output` holds no parts, or the prior or the predictions are gone.
        ValueError: naming the parts that are missing, unfinished or of another run.
    """
    header, entries = joined_parts(output, paths=("source",))
    told = header["options"]
    guarantee = None if told["guarantee"] is None else Guarantee.of_header(told["guarantee"])
    if told["prior_file"] is None:
        assert guarantee is not None
        return write_repairs(Path(header["source"]), output, entries, guarantee)
    calibration = None if told["calibration_file"] is None else Path(told["calibration_file"])
    options = RefineOptions(told["method"], Path(told["prior_file"]), calibration_file=calibration, guarantee=guarantee)
    coder = load_coder(Path(told["prior_file"]))
    return _write_results(output, entries, list_predictions(Path(header["source"]), coder), coder, options)


def load_anatomy_refiner(options: RefineOptions) -> AnatomyRefiner:
    """Load the prior and what else the options name.

    Raises:
        FileNotFoundError: if there is no such file, or no plans of the prior.
        ValueError: if one cannot be used, the prior is of slices, or there is no such device.
    """
    assert options.prior_file is not None
    coder = load_coder(options.prior_file, device=options.device)
    if len(coder.geometry.size) != 3:
        raise ValueError(
            f"The shape prior {coder.prior.path} is of slices, and refine needs one of volumes: train it on a 3D "
            "configuration; it refines the predictions of 2D models too."
        )
    refiner = AnatomyRefiner(coder, Recipe.careful(options.method), load_completion(coder))
    if options.calibration_file is None:
        return refiner
    return replace(refiner, recipe=read_calibration(options.calibration_file, refiner).recipe)


def read_calibration(path: Path, refiner: AnatomyRefiner) -> Calibration:
    """Read a calibration that was made with the same prior and methods.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file and what differs.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}: it should be a {CALIBRATION_FILE} that --calibrate wrote.")
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): make a calibration with --calibrate GT.") from None
    calibration = Calibration.from_plain(content, where=str(path))
    if calibration.prior_sha256 != refiner.coder.prior.sha256:
        raise ValueError(
            f"{path} was made with another prior than {refiner.coder.prior.path}: calibrate again with --calibrate GT."
        )
    if missing := set(calibration.methods) - set(METHODS):
        raise ValueError(f"{path} chose among methods of an earlier version ({missing.pop()}): calibrate again.")
    return calibration


def calibrate_folder(source: Path, output: Path, options: RefineOptions) -> Outcome:
    """Write `refinement.json` and its page, of predictions with ground truth.

    Raises:
        FileNotFoundError, ValueError: if there is nothing to calibrate on, or too little.
        OSError: if the output cannot be written.
    """
    assert options.references is not None
    if options.calibration_file is not None:
        raise ValueError("--calibrate makes a calibration, --calibration uses one: give one of them.")
    execution = options.execution
    if execution.num_parts > 1 or execution.go_on or execution.scheduler is not None:
        raise ValueError(
            "--calibrate learns from all cases at once, on this machine: leave out -num_parts, -part_id, --continue "
            "and --scheduler; -np spreads them over processes."
        )
    refiner = PerWorker(partial(load_anatomy_refiner, replace(options, execution=HERE)))
    coder = refiner().coder
    cases = list_predictions(source, coder)
    truth = list_labels(options.references, coder.file_ending)
    patient_of, remark = patients_of_cases(options.groups_file, options.references)
    items = {case: (files, truth.get(case), case, patient_of.get(case, case)) for case, files in cases.items()}
    results = run(partial(_try_case, refiner), items, execution=execution, description="calibration")
    trials = [trial for result in results for trial in result.value or ()]
    calibration = calibrate(
        trials,
        labels=list(coder.names.values()),
        methods=METHODS,
        prior_sha256=coder.prior.sha256,
    )
    make_output_folder(output, source=source)
    write_json(output / CALIBRATION_FILE, calibration.as_plain())
    write_text(
        output / PAGE_FILE,
        render_calibration_page(
            calibration, trials, labels=list(coder.names.values()), prior=coder.prior, folder=source
        ),
    )
    excluded = excluded_of(results)
    lines = [f"{output / CALIBRATION_FILE}: {calibration.summary}", *filter(None, [remark])]
    lines += [f"  left out: {each.case}: {each.reason}" for each in excluded]
    return Outcome("\n".join([*lines, f"page: {output / PAGE_FILE}"]), excluded)


def _try_case(load: PerWorker[AnatomyRefiner], item: tuple[PredictionFiles, Path | None, str, str]) -> list[Trial]:
    files, reference, case, unit = item
    refiner = load()
    if reference is None:
        raise ValueError(f"there is no ground truth of {files.label.name}")
    prediction, properties = read_prediction(files, refiner.coder)
    truth = refiner.coder.reader.read(reference)
    refiner.coder.check(truth, reference)
    grid = image_grid(prediction.values.shape, properties, files.label)
    check_same_grid(truth.geometry, str(reference), grid, str(files.label))
    return make_trials(refiner, prediction, truth.volume, case=case, unit=unit)


def _item_of(cases: Mapping[str, PredictionFiles], output: Path, case: str) -> tuple[str, PredictionFiles, Path]:
    files = cases[case]
    return case, files, output / files.label.name


def _load_guard(guarantee: Guarantee | None, refiner: PerWorker[AnatomyRefiner]) -> Repairer | None:
    return load_guard(guarantee, lambda: refiner().coder)


def _sources(item: tuple[str, PredictionFiles, Path]) -> list[Path]:
    files = item[1]
    return [path for path in (files.label, files.probabilities) if path is not None]


def _targets(item: tuple[str, PredictionFiles, Path]) -> list[Path]:
    return [item[2]]


def _refine_case(
    refiner: PerWorker[AnatomyRefiner], guard: PerWorker[Repairer | None], item: tuple[str, PredictionFiles, Path]
) -> dict[str, Any]:
    case, files, target = item
    coder = refiner().coder
    prediction, properties = read_prediction(files, coder)
    grid = image_grid(prediction.values.shape, properties, files.label)
    refined = refiner().refine(prediction)
    refined = guarded(guard(), refined, prediction.spacing_mm, coder, left_mm=grid.left_mm)
    write_label_map(refined.values, properties, target, coder.bundle)
    voxel_ml = float(prediction.spacing_mm[0] * prediction.spacing_mm[1] * prediction.spacing_mm[2]) / 1000
    changes = find_changes(prediction.values, refined.values, labels=coder.label_values, voxel_ml=voxel_ml)
    soft = prediction.probabilities is not None
    return {"row": asdict(RefinedRow(case, refined.status, refined.reason, soft, asdict(changes), refined.measures))}


def _write_results(
    output: Path, entries: Entries, cases: Mapping[str, PredictionFiles], coder: Coder, options: RefineOptions
) -> Outcome:
    rows = RefinedRows(entries)
    write_table(output / TABLE_FILE, rows, label_names=list(coder.names.values()))

    def read(case: str) -> tuple[LabelMap, LabelMap]:
        label = cases[case].label
        return coder.reader.read(label), coder.reader.read(output / label.name)

    names = {values[0]: name for name, values in coder.label_values.items()}
    overview = Overview.of(rows)
    assumptions = "" if options.calibration_file is not None else ASSUMPTIONS
    page = render_refinement_page(
        "refinement.html",
        overview,
        *draw_changes(overview.most_changed, read, label_names=names),
        prior=coder.prior,
        method=options.method,
        assumptions=assumptions,
        guarantee=options.guarantee,
    )
    write_text(output / PAGE_FILE, page)
    write_status(output, entries)
    return overview.outcome(output, assumptions)
