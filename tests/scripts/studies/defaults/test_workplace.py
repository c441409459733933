"""`scripts/studies/defaults/workplace.py`: names and settings of runs."""

from acnn_nnunet.nnunet.settings import Settings
from scripts.studies.defaults import workplace as study


def test_a_run_has_a_name_and_settings_of_its_own(tmp_path):
    place = study.Workplace("hippocampus", tmp_path)
    names = {place.configuration_of(arm, seed) for arm in study.ARMS for seed in (0, 1)}
    assert len(names) == 2 * len(study.ARMS)
    for arm in study.ARMS:
        assert Settings.from_block(place.settings_of(arm, 3)).seed == 3
