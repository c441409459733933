"""`acnn-nnunet reader-scores`: from the exports of readers to mean opinion scores, tests and agreement."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from acnn_nnunet import __version__
from acnn_nnunet.casewise.work import Outcome
from acnn_nnunet.evaluation.reading.scores.exports import Export, collect_exports
from acnn_nnunet.evaluation.reading.scores.measures import (
    ArmTest,
    OpinionScore,
    agreement,
    arm_tests,
    opinion_scores,
    rating_table,
)
from acnn_nnunet.evaluation.reading.study.key import StudyKey
from acnn_nnunet.files.safe_writes import make_output_folder, names_in, refuse_file, write_json, write_text
from acnn_nnunet.files.tables import columns_of, write_table
from acnn_nnunet.pages.page import format_number

COMMAND = "acnn-nnunet reader-scores"
JSON_FILE, RATINGS_FILE, SCORES_FILE, TESTS_FILE = "reader_scores.json", "ratings.csv", "scores.csv", "tests.csv"
PAGE_FILE = "report.html"
_FILES = (JSON_FILE, RATINGS_FILE, SCORES_FILE, TESTS_FILE, PAGE_FILE)


def score_readers(key_file: Path, exports: Sequence[Path], output: Path) -> Outcome:
    """Write `ratings.csv`, `scores.csv`, `tests.csv`, `reader_scores.json` and `report.html`.

    An unfinished export, and the second of two equal ones, is left out, counted and named.

    Args:
        key_file: `key.json` of the study.
        exports: files that readers exported.
        output: folder to write; an earlier result in it is replaced.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: naming the file, if it is no export of this study or was changed, if exports of one reader differ,
            or if no reader has finished.
        OSError: if the output cannot be written.
    """
    from acnn_nnunet.evaluation.reading.scores.page import render_scores_page

    output = Path(output)
    refuse_file(output)
    if others := [name for name in names_in(output) if name not in _FILES]:
        raise FileExistsError(f"{output} holds other things, such as {others[0]}: name another folder with -o.")
    key = StudyKey.read(key_file)
    kept, excluded = collect_exports(exports, key)
    readers = [export.reader for export in kept]
    cases, ratings = rating_table(key, kept)
    scores = opinion_scores(readers, key.arms, ratings)
    tests = arm_tests(readers, key.arms, ratings)
    result = {
        "command": COMMAND,
        "version": __version__,
        "study": key.study,
        "arms": list(key.arms),
        "cases": len(cases),
        "readers": readers,
        "excluded": [asdict(each) for each in excluded],
        "scores": [asdict(each) for each in scores],
        "tests": [asdict(each) for each in tests],
        "agreement": agreement(readers, ratings),
    }
    page = render_scores_page(result, ratings, agreement_sentences(result))
    make_output_folder(output)
    write_table(output / RATINGS_FILE, _rating_columns(key, kept))
    write_table(output / SCORES_FILE, columns_of(scores, [field.name for field in fields(OpinionScore)]))
    write_table(output / TESTS_FILE, columns_of(tests, [field.name for field in fields(ArmTest)]))
    write_json(output / JSON_FILE, result)
    write_text(output / PAGE_FILE, page)
    return Outcome(_text(result, output), tuple(excluded))


def _rating_columns(key: StudyKey, exports: Sequence[Export]) -> dict[str, list[Any]]:
    rows = [
        (export.reader, item.case, item.arm, rating, number)
        for export in exports
        for number, (item, rating) in enumerate(zip(key.items, export.ratings, strict=True), 1)
    ]
    return dict(zip(("reader", "case", "arm", "rating", "item"), map(list, zip(*rows, strict=True)), strict=True))


def _text(result: dict[str, Any], output: Path) -> str:
    width = max(12, *(len(arm) + 2 for arm in result["arms"]))
    lines = [f"{'reader':<16}{'arm':<{width}}{'MOS':>6}{'SD':>7}{'cases':>7}"]
    lines += [
        f"{row['reader']:<16}{row['arm']:<{width}}{row['mos']:>6.2f}{format_number(row['sd'], 2):>7}{row['cases']:>7}"
        for row in result["scores"]
    ]
    lines += [
        f"{row['reader']}: {row['arm']} − {row['baseline']} {row['difference']:+.2f}, p (Holm) "
        f"{format_number(row['p_holm'], 4)}"
        for row in result["tests"]
    ]
    lines += agreement_sentences(result)
    lines += [f"left out: {each['reason']}" for each in result["excluded"]]
    return "\n".join([*lines, f"{output}: {', '.join(_FILES)}"])


def agreement_sentences(result: dict[str, Any]) -> list[str]:
    """Return what is known of the readers' agreement, a sentence each."""
    found = result["agreement"]
    if found["icc"] is None:
        return ["One reader: agreement cannot be said."] if len(result["readers"]) == 1 else []
    sentences = [
        f"Weighted kappa of {' and '.join(each['readers'])}: {format_number(each['value'])}." for each in found["kappa"]
    ]
    icc = found["icc"]
    return [
        *sentences,
        f"Intraclass correlation ICC(2,1) {format_number(icc['single'])}, of the readers' mean ICC(2,k) "
        f"{format_number(icc['average'])}.",
    ]
