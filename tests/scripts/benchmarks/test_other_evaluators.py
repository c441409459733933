"""Our distances against SimpleITK's; `scripts/benchmarks/evaluation.py` compares more pairs and libraries."""

import numpy as np
import pytest

from scripts.benchmarks import other_evaluators as others

NUM_PAIRS = 20


@pytest.mark.parametrize("index", range(NUM_PAIRS))
def test_generated_pairs_score_as_with_simpleitk(index):
    pair = others.generated_pair(index)

    assert others.our_scores(pair) == pytest.approx(others.simpleitk_scores(pair), rel=0, abs=1e-4)


def test_the_pairs_are_of_many_kinds():
    pairs = [others.generated_pair(index) for index in range(NUM_PAIRS)]

    assert {pair.reference.ndim for pair in pairs} == {2, 3}
    assert any(len(set(pair.spacing_mm)) == 1 for pair in pairs)
    assert any(max(pair.spacing_mm) > 5 * min(pair.spacing_mm) for pair in pairs)
    assert any(touches_the_border(pair.reference) for pair in pairs)
    assert any(others.our_scores(pair)["hausdorff_mm"] > 5 for pair in pairs)


def touches_the_border(mask: np.ndarray) -> bool:
    return any(np.take(mask, [0, -1], axis).any() for axis in range(mask.ndim))
