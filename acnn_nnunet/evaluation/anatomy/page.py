"""What a page says of implausible slices and cases."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from acnn_nnunet.evaluation.anatomy.cases import CaseAnatomy

_MOST_CASES = 20


def anatomy_sentence(summary: Mapping[str, Any]) -> str:
    """Return the sentence on what `summarise_anatomy` counted."""
    cases = f"{summary['implausible_cases']} of {summary['cases']} predictions break an anatomical rule"
    if not summary["slices"]:
        return f"{cases}."
    return f"{cases}; {summary['implausible_slices']} of {summary['slices']} slices are implausible."


def anatomy_section(cases: Iterable[CaseAnatomy], summary: Mapping[str, Any] | None) -> str:
    """Return the section of a page as HTML: a table of rules and one of the worst cases; empty without cases.

    Args:
        cases: iterated over once.
        summary: of them, by `summarise_anatomy`; None without rules.
    """
    if summary is None or not summary["cases"]:
        return ""
    applies = summary["cases_it_applies_to"]
    rows = [[name, str(summary["cases_that_break"][name]), str(applies[name])] for name in applies]
    worst = heapq.nsmallest(
        _MOST_CASES, cases, key=lambda case: (-case.implausible_slices, -case.implausible, case.case)
    )
    shown = [
        [
            case.case,
            f"{case.implausible_slices} of {case.slices}",
            ", ".join(k for k, v in case.violations.items() if v),
        ]
        for case in worst
        if case.implausible
    ]
    parts = ["<h2>Anatomical rules</h2>", f"<p>{escape(anatomy_sentence(summary))}</p>"]
    parts.append(_table(["rule", "cases that break it", "cases to which it applies"], rows))
    if shown:
        parts.append(_table(["case", "implausible slices", "rules it breaks"], shown))
        if (more := summary["implausible_cases"] - len(shown)) > 0:
            parts.append(f'<p class="note">{more} more in anatomy.csv.</p>')
    return "\n".join(parts)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f'<{tag} class="wraps">{escape(cell)}</{tag}>' for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table><thead>{line(header, "th")}</thead><tbody>{body}</tbody></table></div>'
