"""`acnn-nnunet reader-study`: one page in which readers rate anonymous reconstructions or segmentations."""

from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from acnn_nnunet.evaluation.reading.study.cases import StudyFolders, find_cases, read_case
from acnn_nnunet.evaluation.reading.study.key import StudyKey, shuffled_items
from acnn_nnunet.files.safe_writes import make_output_folder, names_in, refuse_file, write_text

PAGE_FILE, KEY_FILE = "study.html", "key.json"
_QUESTION = "How accurate are boundaries and geometry, compared with the reference?"
_PAGE_BUDGET = 38_000_000  # characters of all cases: the page stays under 40 MB
_MOST_FOR_A_CASE = 4_000_000


@dataclass(frozen=True)
class StudyOptions:
    """How a study is set up.

    Attributes:
        inputs: folder of the images that the arms started from, to be shown next to them, on any grid.
        images: folder of images; the arms and the reference are then label maps, drawn over them as contours.
        question: to the readers; None asks for boundaries and geometry, as in the paper.
        seed: of the order of the items.
    """

    inputs: Path | None = None
    images: Path | None = None
    question: str | None = None
    seed: int = 0


def make_study(arms: dict[str, Path], reference: Path, output: Path, options: StudyOptions | None = None) -> str:
    """Write `study.html`, for the readers, and `key.json`, which says what the anonymous items are.

    Args:
        arms: folder of images or label maps by the arm's name.
        reference: folder of references with the same case names.
        output: folder to write, new or empty.
        options: how; None takes the defaults.

    Returns:
        What to print.

    Raises:
        FileExistsError: if `output` holds something: ratings may be under way that only its key can open.
        FileNotFoundError: if a folder does not exist or holds no image.
        ValueError: naming folder, file or case, if arms have different cases, grids or ranges of intensities.
        OSError: if the output cannot be written.
    """
    from acnn_nnunet.evaluation.reading.study.page import arm_orders, pack_study_case, render_study_page

    options, output = options or StudyOptions(), Path(output)
    refuse_file(output)
    if others := [name for name in names_in(output) if name != PAGE_FILE]:  # a page without a key was not finished
        raise FileExistsError(f"{output} holds {others[0]}: name another folder with -o, a study is never overwritten.")
    folders = StudyFolders(arms, reference, options.inputs, options.images)
    files = {each.case: each for each in find_cases(folders)}
    items = shuffled_items(list(files), list(arms), seed=options.seed)
    orders = arm_orders(items)
    budget = min(_MOST_FOR_A_CASE, _PAGE_BUDGET // len(files))
    packed = [
        pack_study_case(read_case(files[case]), orders[case], budget=budget)
        for case in tqdm(orders, desc="reader-study", unit="case", disable=None)
    ]
    places = {case: place for place, case in enumerate(orders)}
    page, digest = render_study_page(
        packed,
        [(places[item.case], orders[item.case].index(item.arm)) for item in items],
        question=options.question or _QUESTION,
        labels=options.images is not None,
    )
    about = {"reference": str(reference), "input": _path(options.inputs), "images": _path(options.images)}
    key = StudyKey(
        digest,
        tuple(arms),
        items,
        {"folders": {name: str(folder) for name, folder in arms.items()}, **about, "seed": options.seed},
    )
    make_output_folder(output)
    write_text(output / PAGE_FILE, page)
    key.write(output / KEY_FILE)
    notes = sorted({case["note"] for case in packed if case["note"]})
    return "\n".join(
        [
            f"{len(items)} items: {len(files)} cases, {len(arms)} arms; {len(page) / 1e6:.1f} MB",
            *notes,
            f"For the readers: {output / PAGE_FILE}. Keep {output / KEY_FILE} to yourself: it says which arm is which.",
            f"Then: acnn-nnunet reader-scores {output / KEY_FILE} EXPORT.json … -o scores",
        ]
    )


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
