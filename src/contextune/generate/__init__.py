"""Text generators behind one protocol, and the store of what they wrote."""

from .asking import ask
from .base import Answer, Cost, Engine, Failure, Request
from .looking import status, trace
from .opening import open_engine
from .store import Store

__all__ = [
    "Answer", "Cost", "Engine", "Failure", "Request", "Store", "ask", "open_engine", "status", "trace",
]  # fmt: skip
