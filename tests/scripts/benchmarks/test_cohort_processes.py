"""What a journal tells of the time that the cases took."""

from scripts.benchmarks.cohort_processes import cases_s


def test_the_header_is_no_case_and_a_journal_without_cases_took_no_time():
    assert cases_s({}) == 0
    assert cases_s({0: 1.0, 100: 2.0}) == 0
    assert cases_s({0: 1.0, 100: 2.0, 150: 5.0}) == 0  # one case


def test_from_the_first_case_to_the_last():
    assert cases_s({0: 1.0, 100: 2.0, 150: 5.0, 300: 6.5, 900: 11.0}) == 6.0
