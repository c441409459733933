"""`acnn-nnunet refine --guarantee RULES` without a prior: every label map of a folder keeps its dataset's rules."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from acnn_nnunet import __version__
from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.run import run
from acnn_nnunet.casewise.work import Excluded, Outcome, excluded_of
from acnn_nnunet.evaluation.anatomy.declared import find_rules
from acnn_nnunet.evaluation.anatomy.rules import AnatomicalRule
from acnn_nnunet.files.folders import find_images
from acnn_nnunet.files.safe_writes import make_output_folder, write_text
from acnn_nnunet.fold_prior.coder import Coder
from acnn_nnunet.nnunet.label_files import LabelFileReader
from acnn_nnunet.nnunet.labels import label_key, labels_of_dataset, read_dataset_json, values_of
from acnn_nnunet.nnunet.readers import choose_reader, find_file_ending
from acnn_nnunet.pages.overlays import draw_overlay
from acnn_nnunet.pages.page import render_page
from acnn_nnunet.refinement.anatomy_refiner import KEPT, LEFT, Refined
from acnn_nnunet.refinement.changes import find_changes, values_of_labels
from acnn_nnunet.refinement.code_path import decoded_label_maps
from acnn_nnunet.refinement.predictions import write_label_map_with
from acnn_nnunet.refinement.repair.volumes import MOST_CHANGED, Repair, Repairer
from acnn_nnunet.refinement.table import EXCLUDED, RefinedRow, write_table

REPAIRED = "repaired"
"""Mended, and within the limit."""

TABLE_FILE, PAGE_FILE = "refined.csv", "refined.html"
_NUM_PICTURES = 24


@dataclass(frozen=True)
class Guarantee:
    """What every written label map has to keep.

    Attributes:
        rules_file: name of a set of rules, or a JSON file; None takes those that the dataset declares.
        most_changed: share of the anatomy's voxels that a repair may change, 0 to 1.

    Raises:
        ValueError: for a share that cannot be.
    """

    rules_file: Path | None = None
    most_changed: float = MOST_CHANGED

    def __post_init__(self) -> None:
        if not 0 <= self.most_changed <= 1:
            raise ValueError(f"--most-changed {self.most_changed} is no share: give a number from 0 to 1.")


@dataclass(frozen=True)
class _Work:
    """How a folder's label maps are repaired and written."""

    reader_name: str
    repairer: Repairer


def repair_folder(source: Path, output: Path, guarantee: Guarantee, *, execution: Execution = HERE) -> Outcome:
    """Write each label map of a folder, repaired where it breaks a rule, with `refined.csv` and `refined.html`.

    Args:
        source: folder of label maps with their dataset.json in or above it.
        output: folder to write; not the source.
        guarantee: what they have to keep.
        execution: where the cases are repaired; in one part.

    Raises:
        FileNotFoundError: if there are no label maps, no dataset.json or no such rules.
        ValueError: if source and output are one, or no rules are declared or named.
        OSError: if the output cannot be written.
    """
    if execution.num_parts > 1:
        raise ValueError("Without a prior --guarantee repairs a folder in one go: leave out -num_parts.")
    files = sorted(path for path in source.iterdir() if path.is_file()) if source.is_dir() else []
    dataset_json = next(
        (path for folder in (source, source.parent) if (path := folder / "dataset.json").is_file()), None
    )
    if dataset_json is None:
        raise FileNotFoundError(f"There is no dataset.json in or above {source}: copy the one of the dataset there.")
    content = read_dataset_json(dataset_json)
    ending = str(content.get("file_ending") or find_file_ending(files))
    cases = find_images(source, (ending,), may_be_none=True)
    if not cases:
        raise FileNotFoundError(f"{source} holds no label map *{ending}: name a folder of predictions.")
    labels = labels_of_dataset(dataset_json)
    rules = find_rules(guarantee.rules_file, content, names=labels.names.values(), where=str(dataset_json))
    label_values = {labels.names[label_key(label)]: values_of(label) for label in labels.foreground}
    repairer = Repairer(_some(rules, str(dataset_json)), label_values, guarantee.most_changed)
    reader_name = choose_reader(
        ending,
        asked_for=content.get("overwrite_image_reader_writer"),
        asked_in=dataset_json,
        examples=list(cases.values()),
    )
    make_output_folder(output, source=source)
    items = {case: (case, file, output / file.name) for case, file in cases.items()}
    work = partial(_repair_case, _Work(reader_name, repairer))
    results = run(work, items, execution=execution, description="repairing")
    rows = [result.value or RefinedRow(result.case, EXCLUDED, reason=str(result.error)) for result in results]
    write_table(output / TABLE_FILE, rows, label_names=list(label_values))
    pictures = _draw(rows, cases, output, LabelFileReader(reader_name))
    page = render_page("repair.html", version=__version__, rows=rows, rules=rules, pictures=pictures)
    write_text(output / PAGE_FILE, page)
    return _outcome(rows, output, excluded_of(results))


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
    return Repairer(_some(rules, where), values_of_labels(coder()), guarantee.most_changed)


def guarded(guard: Repairer | None, refined: Refined, spacing_mm: tuple[float, ...], coder: Coder) -> Refined:
    """Return a refined label map that keeps the rules, or the refined one with the reason why it does not."""
    if guard is None:
        return refined
    candidates = partial(decoded_label_maps, coder, refined.values, spacing_mm)
    repair = guard.repair(refined.values, spacing_mm=spacing_mm, candidates=candidates)
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


def _repair_case(work: _Work, item: tuple[str, Path, Path]) -> RefinedRow:
    case, file, target = item
    reader = LabelFileReader(work.reader_name)
    label_map = reader.read(file)
    _, properties = reader.read_image(file)
    repair = work.repairer.repair(
        label_map.values, spacing_mm=label_map.geometry.spacing_mm, left_mm=label_map.geometry.left_mm
    )
    repaired = type(label_map)(repair.values, label_map.geometry, label_map.slice_axis).volume
    write_label_map_with(reader.host_reader, repaired, properties, target)
    voxel_ml = label_map.geometry.voxel_ml or 0.0
    label_values = dict(work.repairer.label_values)
    changes = find_changes(label_map.volume, repaired, labels=label_values, voxel_ml=voxel_ml)
    status = LEFT if repair.reason else REPAIRED if repair.broken_before else KEPT
    return RefinedRow(case, status, repair_said(repair), changes=asdict(changes))


def _draw(
    rows: Sequence[RefinedRow], cases: dict[str, Path], output: Path, reader: LabelFileReader
) -> list[dict[str, str]]:
    """Draw the slice of each of the most changed cases where prediction and repaired label map differ most."""
    changed = sorted((row for row in rows if row.changes.get("voxels")), key=lambda row: row.changes["dice"])
    pictures = []
    for row in changed[:_NUM_PICTURES]:
        before, after = (reader.read(path) for path in (cases[row.case], output / cases[row.case].name))
        source = draw_overlay(
            before.volume,
            {row.case: after.volume},
            before.volume_spacing_mm,
            label_names={},
            line_names=("prediction", "repaired"),
        )
        caption = f"{row.case}: {row.changes['voxels']} voxels, {row.reason}"
        pictures.append({"case": row.case, "source": source, "caption": caption})
    return pictures


def _outcome(rows: Sequence[RefinedRow], output: Path, excluded: tuple[Excluded, ...]) -> Outcome:
    counts = {status: sum(row.status == status for row in rows) for status in (REPAIRED, KEPT, LEFT, EXCLUDED)}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    lines = [f"{output}: {told} (of {len(rows)})"]
    lines += [f"  {row.status}: {row.case}: {row.reason}" for row in rows if row.status in (LEFT, EXCLUDED)]
    return Outcome("\n".join([*lines, f"page: {output / PAGE_FILE}"]), excluded)
