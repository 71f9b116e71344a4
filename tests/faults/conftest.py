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
