"""Thoughts of reasoning models in the forms that are known, and texts that only mention their marks."""

from __future__ import annotations

import time

import pytest

from contextune.generation import Answer, Failure, Request
from contextune.generation.protocol import Cost
from contextune.generation.replies import answer
from contextune.generation.thoughts import without_thoughts

FORMS = {
    "think": "<think>hm</think>\n\nfour",
    "capitals": "<THINK>hm</THINK>four",
    "thinking": "<thinking>hm</thinking>\nfour",
    "thought": "<thought>hm</thought> four",
    "reasoning": "<reasoning>hm\n\nhm</reasoning>\nfour",
    "seed": "<seed:think>hm<seed:cot_budget_reflect>1</seed:cot_budget_reflect></seed:think>four",
    "mistral": "[THINK]hm[/THINK]four",
    "begin of thought": "<|begin_of_thought|>hm<|end_of_thought|>\n<|begin_of_solution|>four<|end_of_solution|>",
    "cohere": "<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>four<|END_RESPONSE|>",
    "kimi": "◁think▷hm◁/think▷four",
    "answer": "<think>hm</think>\n<answer>\nfour\n</answer>",
    "opened by the template": "hm</think>\n\nfour",
    "another opened by the template": "hm[/THINK]four",
    "nested": "<think>hm <think>hm</think> hm</think>four",
    "two": "<think>hm</think>\n<think>hm</think>\nfour",
    "harmony": "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>four<|return|>",
    "harmony without tokens": "analysisThe user asks.assistantfinalfour",
    "harmony with a tool": "analysisHm.assistantcommentary to=x jsonassistantfinalfour",
    "granite": "Here is my thought process: hm\n\nHere is my response: four",
}


@pytest.mark.parametrize("said", FORMS.values(), ids=FORMS)
def test_thoughts_are_taken_out(said):
    assert without_thoughts(said) == ("four", "")


@pytest.mark.parametrize(
    "said",
    [
        "Models write <think> before they answer.",
        "Models write <think> and </think> around their thoughts.",
        "Mistral's marks are [THINK] and [/THINK].",
        "The mark `</think>` ends it.",
        "analysis of the tides is final",
        "The analysis is done. assistantfinal is a word.",
        "<answer>four</answer>",
        "<b>four</b> and <p>five</p>",
    ],
)
def test_a_mention_is_left_alone(said):
    assert without_thoughts(said) == (said, "")


def test_whole_lines_within_an_answer():
    assert without_thoughts("Sure.\n<thinking>hm\nhm</thinking>\nfour") == ("Sure.\nfour", "")


@pytest.mark.parametrize(
    ("said", "mark"),
    [
        ("<think>hm", "<think>"),
        ("\n[THINK]hm. Four", "[THINK]"),
        ("<seed:think>hm", "<seed:think>"),
        ("<|channel|>analysis<|message|>hm", "<|channel|>analysis"),
        ("analysisThe user asks", "analysis"),
        ("<think>hm</think><reasoning>hm", "<reasoning>"),
    ],
)
@pytest.mark.parametrize("empty", [False, True])
def test_what_never_ends_is_no_answer(said, mark, empty):
    found = answer(said, Request("?"), False, Cost(), empty=empty)
    assert found == Failure(f"empty: only thoughts, {mark} is never closed")


@pytest.mark.parametrize("text", ["a\0b", "a\x1b[2J", "a\ud800b", "a\x7f"])
def test_control_characters_are_no_text(text):
    found = answer(text, Request("?"), False, Cost())
    assert isinstance(found, Failure)
    assert found.reason.startswith("the answer holds the control character U+")
    assert found.reason.isprintable()
    assert answer("a\tb\r\nc", Request("?"), False, Cost()) == Answer("a\tb\r\nc", Cost())


BOMBS = [
    "<think>", "\n<think>", "\n[THINK]", "<think></think>", "</think>", "</think>\n", "<answer> ", "<|channel|>final",
    "analysis", "assistantfinal", " ", "\n", "<think>\n</think>x\n", "◁think▷", "<|start|>assistant",
]  # fmt: skip


@pytest.mark.parametrize("before", ["", "<think></think><answer>"])
@pytest.mark.parametrize("unit", BOMBS)
def test_its_time_is_linear(unit, before):
    began = time.process_time()
    without_thoughts(before + unit * (60_000 // len(unit)) + "x")
    assert time.process_time() - began < 2


def test_four_hundred_thousand_marks():
    assert without_thoughts("<think>" * 400_000) == ("", "<think>")
    assert without_thoughts("<think></think>" * 20_000 + "four") == ("four", "")
