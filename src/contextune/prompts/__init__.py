"""Prompts as versioned data: the sets that stand before a text, and the question that has one written."""

from .meta import MetaPrompt, load_meta
from .sets import Prompt, PromptSet, load, names

__all__ = ["MetaPrompt", "Prompt", "PromptSet", "load", "load_meta", "names"]
