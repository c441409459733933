"""The table of what was done, and how many failures are named."""

from acnn_nnunet.casewise.status import MOST_NAMED, more_in_status, write_status


def test_one_row_per_case(tmp_path):
    write_status(tmp_path, [{"case": "a", "error": None}, {"case": "b", "error": 'is "spoilt", and more'}])

    assert (tmp_path / "status.csv").read_text() == 'case,status,error\na,done,\nb,failed,"is ""spoilt"", and more"\n'


def test_thousands_of_failures_are_not_all_named():
    assert more_in_status(MOST_NAMED) == []
    assert more_in_status(MOST_NAMED + 3) == ["… and 3 more that failed: see status.csv."]
