"""Exports: what is refused by name, and what is left out and counted."""

import json

import pytest
from reader_studies import make_key, write_export

from acnn_nnunet.evaluation.reading.scores.exports import collect_exports, read_export

KEY = make_key()
RATINGS = [1, 2, 3, 4, 5, 1]


def test_an_export_as_it_is(tmp_path):
    export = read_export(write_export(tmp_path / "r.json", "Zoë", RATINGS), KEY)

    assert (export.reader, export.ratings, export.num_missing) == ("Zoë", tuple(RATINGS), 0)


def test_an_export_that_was_edited_is_refused_by_name(tmp_path):
    path = write_export(tmp_path / "r.json", "R1", RATINGS)
    content = json.loads(path.read_text())
    for change in ({"ratings": [5, *RATINGS[1:]]}, {"reader": "R2"}, {"digest": "0" * 64}):
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(ValueError, match=r"r\.json was changed since it was exported"):
            read_export(path, KEY)


@pytest.mark.parametrize(
    "ratings", [RATINGS[:5], [*RATINGS, 1], [0, *RATINGS[1:]], [6, *RATINGS[1:]], [True, *RATINGS[1:]]]
)
def test_ratings_that_no_page_writes_are_refused_whatever_their_digest(tmp_path, ratings):
    with pytest.raises(ValueError, match=r"r\.json was changed"):
        read_export(write_export(tmp_path / "r.json", "R1", ratings), KEY)


def test_an_export_of_another_study_is_refused_by_name(tmp_path):
    path = write_export(tmp_path / "r.json", "R1", RATINGS, study="t" * 64)

    with pytest.raises(ValueError, match=r"r\.json belongs to another study \(tttttttt…\) than the key \(ssssssss…\)"):
        read_export(path, KEY)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "x"}', "\x00", '{"ratings": 3}'])
def test_what_is_no_export(tmp_path, text):
    (tmp_path / "r.json").write_text(text)

    with pytest.raises(ValueError, match=r"r\.json is no export of a reader study"):
        read_export(tmp_path / "r.json", KEY)
    with pytest.raises(FileNotFoundError, match=r"There is no .*gone\.json"):
        read_export(tmp_path / "gone.json", KEY)


def test_a_half_finished_export_is_left_out_and_counted(tmp_path):
    half = write_export(tmp_path / "half.json", "R1", [1, None, 3, None, 5, 1])
    whole = write_export(tmp_path / "whole.json", "R2", RATINGS)

    kept, excluded = collect_exports([half, whole], KEY)
    assert [each.reader for each in kept] == ["R2"]
    assert [each.case for each in excluded] == ["R1"]
    assert excluded[0].reason.endswith("half.json: 2 of 6 items are not rated yet")
    with pytest.raises(ValueError, match=r"No reader has rated every item: .*half\.json: 2 of 6"):
        collect_exports([half], KEY)


def test_a_later_export_of_the_same_reader_may_be_finished(tmp_path):
    half = write_export(tmp_path / "half.json", "R1", [1, None, 3, None, 5, 1])
    whole = write_export(tmp_path / "whole.json", "R1", RATINGS)

    for order in ((half, whole), (whole, half)):
        kept, excluded = collect_exports(order, KEY)
        assert [each.path for each in kept] == [whole]
        assert len(excluded) == 1


def test_duplicates(tmp_path):
    first = write_export(tmp_path / "1.json", "R1", RATINGS)
    same = write_export(tmp_path / "2.json", "R1", RATINGS)
    other = write_export(tmp_path / "3.json", "R1", RATINGS[::-1])

    kept, excluded = collect_exports([first, same], KEY)
    assert len(kept) == 1
    assert excluded[0].reason == f"{same}: the same ratings as in {first}"
    with pytest.raises(ValueError, match=r"1\.json and .*3\.json are both from 'R1' and differ"):
        collect_exports([first, other], KEY)
