"""Cases for the viewer: at most ten, and none whose files are gone."""

import numpy as np

from acnn_nnunet.plausibility.slices import ComparedMaps
from acnn_nnunet.plausibility.viewer_cases import pack_shown_cases


class StandIn:
    """A scorer that compares every case but two: one is gone, one has nothing to be compared with."""

    def __init__(self):
        self.compared = []

    def compare(self, files):
        self.compared.append(files)
        if files == "gone":
            raise FileNotFoundError("gone")
        labels = np.zeros((3, 4, 5), np.uint8)
        labels[1, 1:3, 1:3] = 1
        return None if files == "alone" else ComparedMaps(labels, labels * 0, (1.0, 1.0, 1.0), labels * 9.0, {1: "LV"})


def test_cases_whose_files_are_gone_are_left_out():
    packed = pack_shown_cases(StandIn(), {"a": "a", "b": "gone", "c": "alone"}, ["a", "b", "c", "d"])

    assert list(packed) == ["a"]
    assert packed["a"]["labels"][0]["name"] == "LV"
    (panel,) = packed["a"]["panels"]
    assert [(each["name"], each["style"]) for each in panel["overlays"]] == [
        ("prediction", "fill"),
        ("autoencoder", "line"),
    ]
    assert panel["image"] == 0


def test_a_prediction_that_rules_alone_judge_is_shown_alone_at_its_worst_slice():
    class Alone:
        def compare(self, files):
            labels = np.zeros((9, 4, 5), np.uint8)
            labels[:, 1:3, 1:3] = 1
            return ComparedMaps(labels, None, (8.0, 1.0, 1.0), None, {1: "LV"}, "", 7)

    packed = pack_shown_cases(Alone(), {"a": "a"}, ["a"])["a"]

    assert [[each["name"] for each in panel["overlays"]] for panel in packed["panels"]] == [["prediction"]]
    assert packed["at"][0] == 7


def test_ten_cases_are_scored_once_more_and_no_others():
    scorer = StandIn()
    cases = [f"case{number}" for number in range(24)]

    assert list(pack_shown_cases(scorer, {case: case for case in cases}, cases)) == cases[:10]
    assert len(scorer.compared) == 10
