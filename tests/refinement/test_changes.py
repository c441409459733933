import numpy as np

from acnn_nnunet.refinement.changes import find_changes

LABELS = {"a": (1,), "b": (2,)}


def test_nothing_changed_and_nothing_there():
    empty = np.zeros((3, 4, 4), dtype=np.uint8)

    changes = find_changes(empty, empty, labels=LABELS, voxel_ml=1.0)

    assert (changes.voxels, changes.dice, changes.first_slice, changes.last_slice) == (0, 1.0, None, None)
    assert changes.added_ml == changes.removed_ml == {"a": 0, "b": 0}


def test_what_is_added_and_removed_of_each_label():
    before = np.zeros((5, 4, 4), dtype=np.uint8)
    before[1, 0, :2] = 1
    after = before.copy()
    after[1, 0, 0] = 2  # one voxel of a becomes b
    after[3, 0, :3] = 1  # three of a come in

    changes = find_changes(before, after, labels=LABELS, voxel_ml=0.5)

    assert (changes.voxels, changes.first_slice, changes.last_slice) == (4, 1, 3)
    assert changes.added_ml == {"a": 1.5, "b": 0.5}
    assert changes.removed_ml == {"a": 0.5, "b": 0.0}
    assert changes.dice == 2 * 2 / (2 + 5)


def test_a_region_holds_all_its_labels():
    before = np.full((1, 1, 2), 1)
    after = np.array([[[2, 1]]])

    changes = find_changes(before, after, labels={"all": (1, 2)}, voxel_ml=1.0)

    assert (changes.voxels, changes.added_ml["all"], changes.removed_ml["all"]) == (1, 0, 0)
