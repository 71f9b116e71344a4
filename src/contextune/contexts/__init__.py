"""Context policies: one file each, known by name."""

from .base import Context, Drawn, Policy, Scene, compose, find, names, register
from .contrastive import Contrastive, ParaphraseOnly
from .edited import Edited
from .generated import Generated
from .lures import Lures
from .nothing import Nothing
from .prompts import Prompts, RandomTokens
from .similar import BatchMix, MixedShot, NeighbourOnly, Raft, Random, SelfCopy, Similar, Zero
from .together import Mixture, Together

__all__ = [
    "BatchMix",
    "Context",
    "Contrastive",
    "Drawn",
    "Edited",
    "Generated",
    "Lures",
    "MixedShot",
    "Mixture",
    "NeighbourOnly",
    "Nothing",
    "ParaphraseOnly",
    "Policy",
    "Prompts",
    "Raft",
    "Random",
    "RandomTokens",
    "Scene",
    "SelfCopy",
    "Similar",
    "Together",
    "Zero",
    "compose",
    "find",
    "names",
    "register",
]
