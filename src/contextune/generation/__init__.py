"""Text generators behind one protocol, and the store of what they wrote."""

from .ask import ask
from .protocol import Answer, Cost, Engine, Failure, Request
from .store import Store
from .store_status import status, trace
from .writer import open_engine

__all__ = [
    "Answer", "Cost", "Engine", "Failure", "Request", "Store", "ask", "open_engine", "status", "trace",
]  # fmt: skip
