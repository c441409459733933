"""The pairs' part of `acnn-nnunet plan-hr`: found, checked, aligned, preprocessed, written down and shown."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.file_results import write_files
from acnn_nnunet.casewise.recorded import header_of
from acnn_nnunet.casewise.work import Outcome, PerWorker
from acnn_nnunet.files.safe_writes import make_output_folder, write_text
from acnn_nnunet.nnunet.models import planned_bundle
from acnn_nnunet.sr.inference.hr_model import HRModel
from acnn_nnunet.sr.pairs.finding import PairFiles, find_pairs, stacks_folder
from acnn_nnunet.sr.pairs.grids import RigidMotion
from acnn_nnunet.sr.pairs.page import draw_pair, render_pairs_page
from acnn_nnunet.sr.pairs.preparation import (
    Pair,
    PreparedPair,
    align,
    class_locations,
    misalignment_mm,
    prepare_pair,
    read_pair,
)
from acnn_nnunet.sr.pairs.registration import Registration
from acnn_nnunet.sr.pairs.store import PairRecord, pair_files, records_of, save_pair
from acnn_nnunet.sr.pairs.table import PAGE_FILE, TABLE_FILE, write_pairs_table

COMMAND = "plan-hr"


@dataclass(frozen=True)
class PairOptions:
    """A configuration, and how its pairs are prepared.

    Attributes:
        configuration: of plan-hr.
        plans_identifier: name of the plans file without suffix.
        register: align each pair rigidly.
        num_processes: that prepare pairs.
    """

    configuration: str
    plans_identifier: str = "nnUNetPlans"
    register: bool = False
    num_processes: int = 1


def prepare_pairs(dataset: str, output: Path, options: PairOptions) -> Outcome:
    """Prepare the pairs of a dataset for a configuration.

    Args:
        dataset: full name.
        output: new folder to write: arrays and a record of each pair, `pairs.csv`, `pairs.html`, `status.csv`.
        options: how.

    Returns:
        What was done; not complete if a stack was refused, which its sentence names.

    Raises:
        FileNotFoundError: if there are no such plans.
        OSError: if the output cannot be written.
    """
    loaded = PerWorker(functools.partial(load_planned, dataset, options))
    bundle = loaded().bundle
    references = bundle.source.parent / "gt_segmentations"
    source = stacks_folder(dataset)
    assert source is not None
    pairs, excluded = find_pairs(dataset, bundle.dataset_json, references, num_channels=bundle.num_channels)
    make_output_folder(output)
    cases = {case: (files.all, pair_files(output, case)) for case, files in pairs.items()}
    header = header_of(COMMAND, source, options, [*cases, *(each.case for each in excluded)])
    work = functools.partial(_prepare, pairs=pairs, model=loaded, register=options.register)
    execution = Execution(num_processes=options.num_processes)
    outcome = write_files(work, cases, output, header=header, execution=execution, excluded=excluded, unit="pair")
    records = records_of(output)
    write_pairs_table(output / TABLE_FILE, records, outcome.excluded)
    pictures = [(draw_pair(pairs[record.case], record, loaded())) for record in records[:MOST_PICTURES]]
    write_text(output / PAGE_FILE, render_pairs_page(records, pictures, outcome.excluded, dataset=dataset))
    return outcome


MOST_PICTURES = 24


def load_planned(dataset: str, options: PairOptions) -> HRModel:
    """Return the plans of a configuration as a model without a network."""
    bundle = planned_bundle(dataset, options.configuration, plans_identifier=options.plans_identifier)
    return HRModel(bundle, predicts_image=False)


def _prepare(item: Any, *, pairs: dict[str, PairFiles], model: PerWorker[HRModel], register: bool) -> None:
    targets = item[1]
    folder, case = targets[-1].parent, targets[-1].stem
    files, loaded = pairs[case], model()
    pair = read_pair(files, loaded)
    try:
        still = prepare_pair(pair, RigidMotion(), loaded)
        found = align(pair, loaded) if register else None
        prepared = still if found is None or found.remark else prepare_pair(pair, found.motion, loaded)
    except ValueError as error:
        raise ValueError(f"{files.stack[0]} {error}") from error
    record = _record(case, pair, still, prepared, found, loaded)
    locations = class_locations(prepared.labels, loaded)
    save_pair(folder, prepared, record, axis=loaded.through_plane.axis, locations=locations)


def _record(
    case: str, pair: Pair, still: PreparedPair, prepared: PreparedPair, found: Registration | None, model: HRModel
) -> PairRecord:
    before = misalignment_mm(still, pair.thickness_mm, model)
    after = before if prepared is still else misalignment_mm(prepared, pair.thickness_mm, model)
    return PairRecord(
        case=case,
        motion=RigidMotion() if found is None else found.motion,
        registered=found is not None,
        remark="" if found is None else found.remark,
        overlap=pair.overlap,
        spacing_mm=pair.stack_grid.spacing_mm[model.slice_axis(pair.stack_grid)],
        hr_spacing_mm=[float(mm) for mm in model.bundle.configuration.spacing],
        thickness_mm=pair.thickness_mm,
        slices=prepared.stack.shape[1 + model.through_plane.axis],
        information_before=None if found is None else found.information_before,
        information_after=None if found is None else found.information_after,
        misalignment_before_mm=before,
        misalignment_after_mm=after,
        scale=prepared.scale,
        offset=prepared.offset,
    )
