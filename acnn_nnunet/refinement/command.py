"""`acnn-nnunet refine`: better label maps after any network, by the learnt anatomy or by a second stage."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.journal import Entries, cases_of_part
from acnn_nnunet.casewise.parts import joined_parts, part_done
from acnn_nnunet.casewise.recorded import CaseWork, header_of, opened_journal, record_cases
from acnn_nnunet.casewise.status import write_status
from acnn_nnunet.casewise.work import Excluded, Outcome, PerWorker
from acnn_nnunet.files.safe_writes import make_output_folder, write_json, write_text
from acnn_nnunet.fold_prior.coder import Coder, load_coder
from acnn_nnunet.refinement.anatomy_refiner import LEFT, AnatomyRefiner, Recipe
from acnn_nnunet.refinement.changes import find_changes
from acnn_nnunet.refinement.page import draw_changes, render_refinement_page
from acnn_nnunet.refinement.predictions import PredictionFiles, list_predictions, read_prediction, write_label_map
from acnn_nnunet.refinement.second_stage import SecondStageOptions, load_refiner, refine_folder
from acnn_nnunet.refinement.table import EXCLUDED, RefinedRow, row_of, write_table

PROJECT, COMPLETE, SECOND_STAGE = "project", "complete", "second-stage"
METHODS = (PROJECT, COMPLETE, SECOND_STAGE)
COMMAND, TABLE_FILE, PAGE_FILE = "refine", "refined.csv", "refined.html"
ASSUMPTIONS = (
    "Without a calibration every case is refined, prediction and anatomy count alike (½ each), and a label that is one "
    "piece in the prior's mean shape keeps no islands."
)


@dataclass(frozen=True)
class RefineOptions:
    """How predictions are refined.

    Attributes:
        method: one of `METHODS`.
        prior_file: the shape prior; None for a second stage.
        second_stage: the model that corrects label maps; None for the other methods.
        execution: where the cases are refined.
        device: cpu, cuda or mps.
    """

    method: str = PROJECT
    prior_file: Path | None = None
    second_stage: SecondStageOptions | None = None
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
    execution = options.execution
    refiner = PerWorker(partial(load_anatomy_refiner, replace(options, execution=HERE)))
    coder = refiner().coder
    cases = list_predictions(source, coder)
    make_output_folder(output, source=source)
    write_json(output / "dataset.json", coder.bundle.dataset_json)
    write_json(output / "plans.json", coder.bundle.plans.plans)
    header = header_of(COMMAND, source, options, cases, prior_sha256=coder.prior.sha256)
    work = CaseWork(partial(_refine_case, refiner), _sources, _targets)
    with opened_journal(output, header, execution, may_change=("cases",), paths=("source",)) as journal:
        part = cases_of_part(header["cases"], num_parts=execution.num_parts, part_id=execution.part_id)
        mine = {case: (case, cases[case], output / cases[case].label.name) for case in part}
        record_cases(work, mine, journal, execution=execution)
        if execution.num_parts > 1:
            return part_done(output, execution)
        return _write_results(output, journal.entries_of(part), cases, coder, options.method)


def merge_parts(output: Path) -> Outcome:
    """Write table and page of predictions that were refined in parts.

    Raises:
        FileNotFoundError: if `output` holds no parts, or the prior or the predictions are gone.
        ValueError: naming the parts that are missing, unfinished or of another run.
    """
    header, entries = joined_parts(output, paths=("source",))
    options = RefineOptions(header["options"]["method"], Path(header["options"]["prior_file"]))
    coder = load_anatomy_refiner(options).coder
    return _write_results(output, entries, list_predictions(Path(header["source"]), coder), coder, options.method)


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
    return AnatomyRefiner(coder, Recipe())


def _sources(item: tuple[str, PredictionFiles, Path]) -> list[Path]:
    files = item[1]
    return [path for path in (files.label, files.probabilities) if path is not None]


def _targets(item: tuple[str, PredictionFiles, Path]) -> list[Path]:
    return [item[2]]


def _refine_case(refiner: PerWorker[AnatomyRefiner], item: tuple[str, PredictionFiles, Path]) -> dict[str, Any]:
    case, files, target = item
    coder = refiner().coder
    prediction, properties = read_prediction(files, coder)
    refined = refiner().refine(prediction)
    write_label_map(refined.values, properties, target, coder.bundle)
    voxel_ml = float(prediction.spacing_mm[0] * prediction.spacing_mm[1] * prediction.spacing_mm[2]) / 1000
    changes = find_changes(prediction.values, refined.values, labels=values_of_labels(coder), voxel_ml=voxel_ml)
    soft = prediction.probabilities is not None
    return {"row": asdict(RefinedRow(case, refined.status, refined.reason, soft, asdict(changes), refined.measures))}


def values_of_labels(coder: Coder) -> dict[str, tuple[int, ...]]:
    """Return the values of each label, or of each region, by name."""
    labels = coder.prior.spec.labels
    return {
        name: tuple(v) if isinstance(v := labels[name], (list, tuple)) else (int(v),) for name in coder.names.values()
    }


def _write_results(
    output: Path, entries: Entries, cases: Mapping[str, PredictionFiles], coder: Coder, method: str
) -> Outcome:
    rows = [row_of(entry) for entry in entries]
    write_table(output / TABLE_FILE, rows, label_names=list(coder.names.values()))
    pictures = draw_changes(rows, cases, output, coder)
    page = render_refinement_page(rows, pictures, prior=coder.prior, method=method, assumptions=ASSUMPTIONS)
    write_text(output / PAGE_FILE, page)
    write_status(output, entries)
    return _outcome(rows, output)


def _outcome(rows: Sequence[RefinedRow], output: Path) -> Outcome:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    lines = [f"{output}: {told} (of {len(rows)})", ASSUMPTIONS]
    lines += [f"  {row.status}: {row.case}: {row.reason}" for row in rows if row.status in (LEFT, EXCLUDED)]
    lines.append(f"page: {output / PAGE_FILE}")
    return Outcome("\n".join(lines), tuple(Excluded(r.case, r.reason) for r in rows if r.status == EXCLUDED))
