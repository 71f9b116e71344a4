"""Prompts as versioned data: the sets that precede a text, and the question that has one written."""

from .meta_prompt import MetaPrompt, load_meta
from .sets import Prompt, PromptSet, load, locate, names

__all__ = ["MetaPrompt", "Prompt", "PromptSet", "load", "load_meta", "locate", "names"]
