"""`acnn-nnunet refine --guarantee RULES` without a prior: every label map of a folder keeps its dataset's rules."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.journal import Entries, cases_of_part
from acnn_nnunet.casewise.parts import part_done
from acnn_nnunet.casewise.recorded import CaseWork, header_of, opened_journal, record_cases
from acnn_nnunet.casewise.status import write_status
from acnn_nnunet.casewise.work import Outcome
from acnn_nnunet.evaluation.anatomy.declared import find_rules
from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule
from acnn_nnunet.files.folders import find_images
from acnn_nnunet.files.on_demand import OnDemand
from acnn_nnunet.files.safe_writes import make_output_folder, write_text
from acnn_nnunet.fold_prior.coder import Coder
from acnn_nnunet.nnunet.label_files import LabelFileReader, LabelMap
from acnn_nnunet.nnunet.labels import known_values, label_key, labels_of_dataset, read_dataset_json, values_of
from acnn_nnunet.nnunet.readers import choose_reader, find_file_ending
from acnn_nnunet.refinement.anatomy_refiner import KEPT, LEFT, Refined
from acnn_nnunet.refinement.changes import find_changes
from acnn_nnunet.refinement.code_path import decoded_label_maps
from acnn_nnunet.refinement.overview import PAGE_FILE, REPAIRED, TABLE_FILE, Overview
from acnn_nnunet.refinement.page import draw_changes, render_refinement_page
from acnn_nnunet.refinement.predictions import write_label_map_with
from acnn_nnunet.refinement.repair.planes import MOST_TRIES
from acnn_nnunet.refinement.repair.volumes import MOST_CHANGED, Repair, Repairer
from acnn_nnunet.refinement.table import RefinedRow, RefinedRows, write_table


@dataclass(frozen=True)
class Guarantee:
    """What every written label map has to keep.

    Attributes:
        rules_file: name of a set of rules, or a JSON file; None takes those that the dataset declares.
        most_changed: share of the anatomy's voxels that a repair may change, 0 to 1.
        most_tries: slices that the search for a case's repair may look at, which limits its time.

    Raises:
        ValueError: for a share or a number that cannot be.
    """

    rules_file: Path | None = None
    most_changed: float = MOST_CHANGED
    most_tries: int = MOST_TRIES

    def __post_init__(self) -> None:
        if not 0 <= self.most_changed <= 1:
            raise ValueError(f"--most-changed {self.most_changed} is no share: give a number from 0 to 1.")
        if self.most_tries < 1:
            raise ValueError(f"--most-tries {self.most_tries} tries nothing: give a number from 1 on.")

    @classmethod
    def of_header(cls, told: Mapping[str, Any]) -> "Guarantee":
        """Return the guarantee of a run's header."""
        return cls(
            None if told["rules_file"] is None else Path(told["rules_file"]), told["most_changed"], told["most_tries"]
        )

    def __str__(self) -> str:
        rules = "the rules that its dataset declares" if self.rules_file is None else f"the rules {self.rules_file}"
        return f"{rules} (limit of a repair: {self.most_changed:.0%} of the anatomy's voxels)"


@dataclass(frozen=True)
class _Folder:
    """Label maps to repair, and what that takes."""

    cases: Mapping[str, Path]
    reader_name: str
    repairer: Repairer
    known: frozenset[int]


def repair_folder(
    source: Path, output: Path, guarantee: Guarantee, *, options: Any = None, execution: Execution = HERE
) -> Outcome:
    """Write each label map of a folder, repaired where it breaks a rule, with `refined.csv` and `refined.html`.

    Args:
        source: folder of label maps with their dataset.json in or above it.
        output: folder to write; not the source.
        guarantee: what they have to keep.
        options: of the command, for the journal.
        execution: where the cases are repaired.

    Raises:
        FileNotFoundError: if there are no label maps, no dataset.json or no such rules.
        ValueError: if source and output are one, or no rules are declared or named.
        OSError: if the output cannot be written.
    """
    folder = _find_folder(source, guarantee)
    make_output_folder(output, source=source)
    header = header_of("refine", source, options, folder.cases, rules=folder.repairer.plain_rules)
    work = CaseWork(partial(_repair_case, folder.reader_name, folder.repairer, folder.known), _sources, _targets)
    with opened_journal(
        output, header, execution, may_change=("cases",), paths=("source",), keeps_files=True
    ) as journal:
        part = cases_of_part(header["cases"], num_parts=execution.num_parts, part_id=execution.part_id)
        mine = OnDemand(part, lambda case: (case, folder.cases[case], output / folder.cases[case].name))
        record_cases(work, mine, journal, execution=execution, description="repairing")
        entries = journal.entries_of(part)
        if execution.num_parts > 1:
            return part_done(output, execution, entries)
        return write_repairs(source, output, entries, guarantee)


def write_repairs(source: Path, output: Path, entries: Entries, guarantee: Guarantee) -> Outcome:
    """Write table and page of a folder's repaired label maps.

    Raises:
        FileNotFoundError, ValueError, OSError: as `repair_folder`.
    """
    folder = _find_folder(source, guarantee)
    rows = RefinedRows(entries)
    write_table(output / TABLE_FILE, rows, label_names=list(folder.repairer.label_values))
    reader = LabelFileReader(folder.reader_name)

    def read(case: str) -> tuple[LabelMap, LabelMap]:
        return reader.read(folder.cases[case]), reader.read(output / folder.cases[case].name)

    names = {value: name for name, (value, *_) in folder.repairer.label_values.items()}
    overview = Overview.of(rows)
    drawn = draw_changes(overview.most_changed, read, label_names=names, words=("prediction", "repaired"))
    page = render_refinement_page("repair.html", overview, *drawn, rules=folder.repairer.rules, guarantee=guarantee)
    write_text(output / PAGE_FILE, page)
    write_status(output, entries)
    return overview.outcome(output)


def _find_folder(source: Path, guarantee: Guarantee) -> _Folder:
    files = sorted(path for path in source.iterdir() if path.is_file()) if source.is_dir() else []
    dataset_json = next(
        (path for folder in (source, source.parent) if (path := folder / "dataset.json").is_file()), None
    )
    if dataset_json is None:
        raise FileNotFoundError(f"There is no dataset.json in or above {source}: copy the one of the dataset there.")
    content = read_dataset_json(dataset_json)
    ending = str(content.get("file_ending") or find_file_ending(files, source))
    cases = find_images(source, (ending,), may_be_none=True)
    if not cases:
        raise FileNotFoundError(f"{source} holds no label map *{ending}: name a folder of predictions.")
    labels = labels_of_dataset(dataset_json)
    rules = find_rules(guarantee.rules_file, content, names=labels.names.values(), where=str(dataset_json))
    label_values = {labels.names[label_key(label)]: values_of(label) for label in labels.foreground}
    repairer = Repairer(_some(rules, str(dataset_json)), label_values, guarantee.most_changed, guarantee.most_tries)
    reader_name = choose_reader(
        ending,
        asked_for=content.get("overwrite_image_reader_writer"),
        asked_in=dataset_json,
        examples=list(cases.values()),
    )
    return _Folder(cases, reader_name, repairer, frozenset(known_values(content["labels"].values())))


def load_guard(guarantee: Guarantee | None, coder: Callable[[], Coder]) -> Repairer | None:
    """Return what repairs refined label maps, if anything.

    Raises:
        FileNotFoundError: if there are no such rules.
        ValueError: if they do not suit the prior's labels, or none are declared or named.
    """
    if guarantee is None:
        return None
    prior, dataset_json = coder().prior, coder().bundle.dataset_json
    where = f"dataset.json of {prior.spec.dataset}"
    rules = find_rules(guarantee.rules_file, dataset_json, names=coder().names.values(), where=where)
    return Repairer(_some(rules, where), coder().label_values, guarantee.most_changed, guarantee.most_tries)


def guarded(
    guard: Repairer | None,
    refined: Refined,
    spacing_mm: tuple[float, ...],
    coder: Coder,
    *,
    left_mm: tuple[float, ...] | None = None,
) -> Refined:
    """Return a refined label map that keeps the rules, or the refined one with the reason why it does not.

    Args:
        guard: repairs it; None promises nothing.
        refined: the label map.
        spacing_mm: of its voxels, in its order of axes.
        coder: of the prior.
        left_mm: per axis, how far a step leads to the patient's left; None where no file tells.
    """
    if guard is None:
        return refined
    candidates = partial(decoded_label_maps, coder, refined.values, spacing_mm)
    repair = guard.repair(refined.values, spacing_mm=spacing_mm, left_mm=left_mm, candidates=candidates)
    reason = "; ".join(filter(None, [refined.reason, repair_said(repair)]))
    return replace(refined, values=repair.values, reason=reason, status=LEFT if repair.reason else refined.status)


def repair_said(repair: Repair) -> str:
    """Return what a repair did, or why it did not; empty where all rules were kept."""
    if repair.reason:
        return f"breaks {', '.join(repair.broken_before)}: {repair.reason}"
    if not repair.broken_before:
        return ""
    return f"mended {', '.join(repair.broken_before)}: {repair.share:.2%} of the anatomy's voxels"


def _some(rules: tuple[AnatomicalRule, ...], where: str) -> tuple[AnatomicalRule, ...]:
    if not rules:
        raise ValueError(f"{where} declares no anatomical_rules: name some, such as --guarantee acdc.")
    return rules


def _sources(item: tuple[str, Path, Path]) -> list[Path]:
    return [item[1]]


def _targets(item: tuple[str, Path, Path]) -> list[Path]:
    return [item[2]]


def _repair_case(
    reader_name: str, repairer: Repairer, known: frozenset[int], item: tuple[str, Path, Path]
) -> dict[str, Any]:
    case, file, target = item
    reader = LabelFileReader(reader_name)
    label_map, properties = reader.read_with_properties(file)
    if unknown := sorted(set(np.unique(label_map.values).tolist()) - known):
        raise ValueError(f"{file} holds the label {unknown[0]}, which dataset.json does not declare")
    geometry = label_map.geometry
    repair = repairer.repair(label_map.values, spacing_mm=geometry.spacing_mm, left_mm=geometry.left_mm)
    repaired = replace(label_map, values=repair.values).volume
    write_label_map_with(reader.host_reader, repaired, properties, target)
    changes = find_changes(
        label_map.volume, repaired, labels=dict(repairer.label_values), voxel_ml=geometry.voxel_ml or 0.0
    )
    status = LEFT if repair.reason else REPAIRED if repair.broken_before else KEPT
    return {"row": asdict(RefinedRow(case, status, repair_said(repair), changes=asdict(changes)))}
