"""One workspace and one training of each trainer, shared by all tests that only read them."""

import json

import pytest
from workspace import CONFIGURATION, DATASET, DERIVED, SETTINGS, Workspace, link_cases, shrink_plans


@pytest.fixture(scope="session")
def planned(data_folder, tmp_path_factory) -> Workspace:
    """Twelve real cases, planned and preprocessed, with a small network and two folds; nothing is trained."""
    root = tmp_path_factory.mktemp("commands")
    workspace = Workspace(root / "raw", root / "preprocessed", root / "results")
    for folder in (workspace.preprocessed, workspace.results):
        folder.mkdir()
    link_cases(data_folder / "nnUNet_raw" / DATASET, workspace.raw / DATASET, training=12, test=1)
    # The planner asks for at least one thread.
    planning = ("nnUNetv2_plan_and_preprocess", "-d", 4, "-c", "3d_fullres", "-npfp", 1, "-np", 1)
    workspace.succeed(*planning, nnUNet_n_proc_DA="1")
    shrink_plans(workspace.plans_file)
    cases = sorted(path.stem for path in (workspace.preprocessed / DATASET / "nnUNetPlans_3d_fullres").glob("*.pkl"))
    splits = [{"train": cases[: 2 * k] + cases[2 * k + 2 :], "val": cases[2 * k : 2 * k + 2]} for k in range(2)]
    (workspace.preprocessed / DATASET / "splits_final.json").write_text(json.dumps(splits))
    workspace.configure(CONFIGURATION, *SETTINGS, base="3d_fullres")
    workspace.configure(DERIVED)
    return workspace


@pytest.fixture(scope="session")
def with_prior(planned) -> Workspace:
    """The workspace after `nnUNetv2_train 4 3d_fullres_quick 0 -tr ShapePriorTrainer`."""
    planned.succeed(*planned.train("ShapePriorTrainer"))
    return planned


@pytest.fixture(scope="session")
def with_model(with_prior) -> Workspace:
    """The workspace after ACNNTrainer's training on the derived configuration, which has no prior of its own."""
    with_prior.succeed(*with_prior.train("ACNNTrainer", configuration=DERIVED))
    return with_prior
