"""What the page says of rules."""

from acnn_nnunet.evaluation.anatomy.cases import CaseAnatomy, summarise_anatomy
from acnn_nnunet.evaluation.anatomy.page import anatomy_section, anatomy_sentence
from acnn_nnunet.evaluation.anatomy.rules import parse_rules

RULES = parse_rules([{"rule": "one_piece", "label": "L<V"}], names=["L<V"], where="rules.json")


def test_without_slices_only_cases_are_told():
    summary = {"implausible_cases": 1, "cases": 2, "slices": 0, "implausible_slices": 0}
    assert anatomy_sentence(summary) == "1 of 2 predictions break an anatomical rule."
    summary |= {"slices": 9, "implausible_slices": 3}
    assert anatomy_sentence(summary).endswith("rule; 3 of 9 slices are implausible.")


def test_names_are_escaped_and_only_implausible_cases_are_listed():
    cases = [CaseAnatomy("good", 0, 0, 0, {"L<V one_piece": 0.0}), CaseAnatomy("bad", 0, 0, 1, {"L<V one_piece": 0.5})]
    section = anatomy_section(cases, summarise_anatomy(cases, RULES))
    assert "L&lt;V one_piece" in section
    assert "L<V" not in section
    assert "bad" in section
    assert "good" not in section
    assert anatomy_section([], summarise_anatomy([], RULES)) == "" == anatomy_section([], None)
