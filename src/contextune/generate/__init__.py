"""Text generators behind one protocol, and the store of what they wrote."""

from .base import Engine, Failure, Request
from .store import Store, ask

__all__ = ["Engine", "Failure", "Request", "Store", "ask"]
