import signal

import pytest

from tests.faults.small_run import served


@pytest.fixture(scope="session")
def heavy():
    """Starts commands quickly, torch and all (small_run.Server)."""
    with served() as server:
        yield server


@pytest.fixture(scope="session")
def light():
    """The same for commands that need no torch."""
    with served(light=True) as server:
        yield server


@pytest.fixture(autouse=True)
def _interruptible():
    """Shells start what runs in the background with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
