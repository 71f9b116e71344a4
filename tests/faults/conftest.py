import pytest

from tests.faults.small_run import served


@pytest.fixture(scope="session")
def heavy():
    """Starts commands quickly, torch and all (small_run.Server)."""
    with served() as server:
        yield server
