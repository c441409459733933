"""Each of the eight ways costs its own case, with a reason of its own."""

import pytest
from label_folders import make_folders

from acnn_nnunet.evaluation.cases import evaluate_case
from acnn_nnunet.evaluation.plan import plan_evaluation
from scripts.benchmarks.broken_files import BREAKS


@pytest.mark.parametrize("spoil", BREAKS, ids=lambda spoil: spoil.__name__)
def test_a_spoilt_file_is_refused_by_name(tmp_path, spoil):
    folders = make_folders(tmp_path, num_cases=1)
    spoil(folders[1] / "case_0.nii.gz")
    plan = plan_evaluation(*folders, labels=["1"], ignore_label=None, dataset_json=None, tolerance_mm=1.0)

    with pytest.raises(ValueError, match=r"predicted/case_0\.nii\.gz "):
        evaluate_case(plan, "case_0")


def test_there_are_eight():
    assert len(set(BREAKS)) == 8
