"""Our distances against SimpleITK's; `scripts/benchmark_evaluation.py` compares more pairs, and with more libraries."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "other_evaluators.py"
NUM_PAIRS = 20


@pytest.fixture(scope="module")
def others():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("index", range(NUM_PAIRS))
def test_generated_pairs_score_as_with_simpleitk(others, index):
    pair = others.generated_pair(index)

    assert others.our_scores(pair) == pytest.approx(others.simpleitk_scores(pair), rel=0, abs=1e-4)


def test_the_pairs_are_of_many_kinds(others):
    pairs = [others.generated_pair(index) for index in range(NUM_PAIRS)]

    assert {pair.reference.ndim for pair in pairs} == {2, 3}
    assert any(len(set(pair.spacing_mm)) == 1 for pair in pairs)
    assert any(max(pair.spacing_mm) > 5 * min(pair.spacing_mm) for pair in pairs)
    assert any(touches_the_border(pair.reference) for pair in pairs)
    assert any(others.our_scores(pair)["hausdorff_mm"] > 5 for pair in pairs)


def touches_the_border(mask: np.ndarray) -> bool:
    return any(np.take(mask, [0, -1], axis).any() for axis in range(mask.ndim))
