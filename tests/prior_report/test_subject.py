"""Which cases are looked at, where there are more than needed."""

from acnn_nnunet.prior_report.subject import evenly_spaced


def test_evenly_spaced_keeps_both_ends():
    assert evenly_spaced(tuple("abcdefg"), 3) == ("a", "d", "g")
    assert evenly_spaced(tuple("ab"), 3) == ("a", "b")
    assert evenly_spaced((), 3) == ()
