"""Values that are made when they are looked up: only their names stay."""

import tracemalloc
from pathlib import Path

import pytest

from acnn_nnunet.files.folders import find_images
from acnn_nnunet.files.on_demand import OnDemand


def test_no_names_at_all():
    nothing = OnDemand([], str.upper)
    assert (len(nothing), list(nothing), nothing == {}) == (0, [], True)
    with pytest.raises(KeyError, match="a"):
        nothing["a"]


def test_values_are_made_anew_at_each_look_and_no_sooner():
    made = []

    def make(name: str) -> str:
        made.append(name)
        return name.upper()

    found = OnDemand(["b", "a", "b"], make)
    assert (len(found), list(found), "a" in found, "c" in found, made) == (2, ["b", "a"], True, False, [])
    assert (found["a"], found["a"], found.get("c"), made) == ("A", "A", None, ["a", "a"])
    assert (list(found.items()), found == {"a": "A", "b": "B"}) == ([("b", "B"), ("a", "A")], True)


def test_a_folder_of_thousands_costs_the_names_alone(tmp_path):
    """A Path takes about 450 bytes, a name and its place in a dictionary about 250."""
    for number in range(2000):
        (tmp_path / f"case_{number:06d}.nii.gz").touch()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        found = find_images(tmp_path)
        per_case = (tracemalloc.get_traced_memory()[0] - before) / len(found)
    finally:
        tracemalloc.stop()
    assert per_case < 330
    assert found["case_000007"] == Path(tmp_path / "case_000007.nii.gz")
