"""A short soak of trainings; the long one is `python tests/soak.py`."""

from idl_soak import soak

SECONDS = 4


def test_trainings_survive_what_can_happen_to_them(tmp_path):
    assert soak(tmp_path, seed=14, seconds=SECONDS)
