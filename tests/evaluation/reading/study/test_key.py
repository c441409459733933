"""The key: the order that a seed fixes, and what is read back."""

from reader_studies import make_key

from acnn_nnunet.evaluation.reading.study.key import Item, StudyKey, shuffled_items


def test_every_arm_of_every_case_comes_once_in_an_order_that_the_seed_fixes():
    items = shuffled_items(["b", "a", "c"], ["y", "x"], seed=1)

    assert sorted((item.case, item.arm) for item in items) == [(case, arm) for case in "abc" for arm in "xy"]
    assert items == shuffled_items(["c", "b", "a"], ["x", "y"], seed=1)  # however folders were listed
    assert len({shuffled_items(["a", "b", "c"], ["x", "y"], seed=seed) for seed in range(20)}) > 10


def test_a_key_comes_back(tmp_path):
    key = make_key()
    key.write(tmp_path / "key.json")
    found = StudyKey.read(tmp_path / "key.json")

    assert (found.study, found.arms, found.items) == (key.study, key.arms, key.items)
    assert found.items[1] == Item("a", "y")
