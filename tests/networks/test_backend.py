"""The door to Keras: what is set before a backend loads."""

import os

import pytest

from fintech_dl.networks.backend import _cap_threads

NAMES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC")


@pytest.mark.parametrize(
    ("left", "expected"), [("1", "1"), ("12", "12"), ("", None), ("4,2", None)]
)
def test_a_backend_keeps_to_the_threads_left_to_its_process(monkeypatch, left, expected):
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that the end of the test restores what was there
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", left)
    _cap_threads()
    assert [os.environ.get(name) for name in NAMES] == [expected] * 3


def test_what_the_user_has_set_stays(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "3")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    _cap_threads()
    assert {os.environ[name] for name in NAMES} == {"3"}
