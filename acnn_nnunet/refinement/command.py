"""`acnn-nnunet refine`: better label maps after any network, by the learnt anatomy or by a second stage."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from acnn_nnunet.casewise.journal import Journal
from acnn_nnunet.casewise.run import work_through
from acnn_nnunet.casewise.work import Excluded, Outcome, PerWorker
from acnn_nnunet.files.safe_writes import make_output_folder, write_json, write_text
from acnn_nnunet.fold_prior.coder import Coder, load_coder
from acnn_nnunet.refinement.anatomy_refiner import LEFT, AnatomyRefiner, Recipe
from acnn_nnunet.refinement.changes import find_changes
from acnn_nnunet.refinement.page import draw_changes, render_refinement_page
from acnn_nnunet.refinement.predictions import PredictionFiles, list_predictions, read_prediction, write_label_map
from acnn_nnunet.refinement.second_stage import SecondStageOptions, load_refiner, refine_folder
from acnn_nnunet.refinement.table import EXCLUDED, RefinedRow, read_rows, write_table

PROJECT, COMPLETE, SECOND_STAGE = "project", "complete", "second-stage"
METHODS = (PROJECT, COMPLETE, SECOND_STAGE)
TABLE_FILE, PAGE_FILE, JOURNAL_FILE = "refined.csv", "refined.html", "parts/refined.jsonl"
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
        continue_prediction: keep the cases that are refined already.
        device: cpu, cuda or mps.
    """

    method: str = PROJECT
    prior_file: Path | None = None
    second_stage: SecondStageOptions | None = None
    continue_prediction: bool = False
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
        return refine_folder(source, output, PerWorker(partial(load_refiner, options.second_stage)))
    refiner = PerWorker(partial(load_anatomy_refiner, options))
    coder = refiner().coder
    cases = list_predictions(source, coder)
    make_output_folder(output, source=source)
    journal, rows = _begin(output, cases, options, coder)
    missing = {case: (case, files, output / files.label.name) for case, files in cases.items() if case not in rows}
    for result in work_through(partial(_refine_case, refiner), missing, num_done=len(rows)):
        row = result.value or RefinedRow(result.case, EXCLUDED, reason=str(result.error))
        journal.append(asdict(row))
        rows[row.case] = row
    ordered = [rows[case] for case in cases]
    _write_results(output, ordered, cases, coder, options)
    return _outcome(ordered, output)


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


def _begin(
    output: Path, cases: Mapping[str, PredictionFiles], options: RefineOptions, coder: Coder
) -> tuple[Journal, dict[str, RefinedRow]]:
    """Start the journal, or take it up; return it and the rows of the cases that are done."""
    journal = Journal(output / JOURNAL_FILE)
    header = {"method": options.method, "prior_sha256": coder.prior.sha256}
    write_json(output / "dataset.json", coder.bundle.dataset_json)
    write_json(output / "plans.json", coder.bundle.plans.plans)
    if not options.continue_prediction or not journal.path.is_file():
        journal.start(header)
        return journal, {}
    if (before := journal.read()[0]) != header:
        changed = next(key for key in header if before.get(key) != header[key])
        raise ValueError(
            f"{output} was begun with another {changed} ({before.get(changed)}): name another folder with -o, or leave "
            "out --continue_prediction to refine all again."
        )
    known = {case: row for case, row in read_rows(journal).items() if case in cases and row.status != EXCLUDED}
    return journal, {case: row for case, row in known.items() if (output / cases[case].label.name).is_file()}


def _refine_case(refiner: PerWorker[AnatomyRefiner], item: tuple[str, PredictionFiles, Path]) -> RefinedRow:
    case, files, target = item
    coder = refiner().coder
    prediction, properties = read_prediction(files, coder)
    refined = refiner().refine(prediction)
    write_label_map(refined.values, properties, target, coder.bundle)
    voxel_ml = float(prediction.spacing_mm[0] * prediction.spacing_mm[1] * prediction.spacing_mm[2]) / 1000
    changes = find_changes(prediction.values, refined.values, labels=values_of_labels(coder), voxel_ml=voxel_ml)
    soft = prediction.probabilities is not None
    return RefinedRow(case, refined.status, refined.reason, soft, asdict(changes), refined.measures)


def values_of_labels(coder: Coder) -> dict[str, tuple[int, ...]]:
    """Return the values of each label, or of each region, by name."""
    labels = coder.prior.spec.labels
    return {
        name: tuple(v) if isinstance(v := labels[name], (list, tuple)) else (int(v),) for name in coder.names.values()
    }


def _write_results(
    output: Path, rows: Sequence[RefinedRow], cases: Mapping[str, PredictionFiles], coder: Coder, options: RefineOptions
) -> None:
    write_table(output / TABLE_FILE, rows, label_names=list(coder.names.values()))
    pictures = draw_changes(rows, cases, output, coder)
    page = render_refinement_page(rows, pictures, prior=coder.prior, method=options.method, assumptions=ASSUMPTIONS)
    write_text(output / PAGE_FILE, page)


def _outcome(rows: Sequence[RefinedRow], output: Path) -> Outcome:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    lines = [f"{output}: {told} (of {len(rows)})", ASSUMPTIONS]
    lines += [f"  {row.status}: {row.case}: {row.reason}" for row in rows if row.status in (LEFT, EXCLUDED)]
    lines.append(f"page: {output / PAGE_FILE}")
    return Outcome("\n".join(lines), tuple(Excluded(r.case, r.reason) for r in rows if r.status == EXCLUDED))
