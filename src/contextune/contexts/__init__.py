"""Context policies: one file each, known by name and found by themselves."""

from contextune.core.registry import import_modules

from . import editing  # noqa: F401  importing a file registers what it holds
from .combine import Concat, Mixture
from .contrastive import Contrastive, ParaphraseOnly
from .counterfactual import Counterfactual
from .distractors import Distractors
from .generated import Generated
from .none import NoContext
from .policy import BoundPolicy, ContextDraw, Policy, PolicyOption, Share, bind_policy, binds_alone, compose, parse
from .prompts import Prompts, RandomTokens
from .strategies import BatchMix, MixedShot, NeighbourOnly, Raft, Random, SelfCopy, Similar

import_modules(__name__, __path__)

__all__ = [
    "BatchMix",
    "BoundPolicy",
    "Concat",
    "ContextDraw",
    "Contrastive",
    "Counterfactual",
    "Distractors",
    "Generated",
    "MixedShot",
    "Mixture",
    "NeighbourOnly",
    "NoContext",
    "ParaphraseOnly",
    "Policy",
    "PolicyOption",
    "Prompts",
    "Raft",
    "Random",
    "RandomTokens",
    "SelfCopy",
    "Share",
    "Similar",
    "bind_policy",
    "binds_alone",
    "compose",
    "parse",
]
