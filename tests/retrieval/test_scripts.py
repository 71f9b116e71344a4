"""Similarity and the guard in scripts without spaces: near copies are near, other texts are far."""

# ruff: noqa: E501
from __future__ import annotations

import unicodedata

import pytest

from contextune.core.binding import BindContext
from contextune.core.sequence import Record, Segment
from contextune.retrieval import LOW, Guard, Lexical, WordOverlap

QUESTIONS = {
    "Chinese": ("港口西边的防波堤上立着什么颜色的灯？", "港口西边的老防波堤上立着什么颜色的灯？", "渡船什么时候离开小岛回家？"),
    "Japanese": ("港の西の防波堤の上に何色の灯台がありますか。", "港の西の古い防波堤の上に何色の灯台がありますか。",
                 "船はいつ島を出発しましたか。"),
    "Korean": ("항구 서쪽 방파제 위에 무슨 색 등대가 있습니까?", "항구 서쪽 옛 방파제 위에 무슨 색 등대가 있습니까?",
               "배는 언제 섬을 떠나나요?"),
    "Thai": ("บนเขื่อนกันคลื่นทางทิศตะวันตกมีประภาคารสีอะไร", "บนเขื่อนกันคลื่นเก่าทางทิศตะวันตกมีประภาคารสีอะไร",
             "เรือออกจากเกาะเมื่อไหร่"),
    "Arabic": ("ما لون المنارة التي تقف على الرصيف الغربي في الميناء القديم؟", "ما لون المنارة التي تقف على هذا الرصيف الغربي في "
               "الميناء القديم؟", "متى تغادر السفينة الجزيرة؟"),
    "German": ("Welche Farbe hat der Leuchtturm auf der alten Mole?", "Welche Farbe hat denn der Leuchtturm auf der alten Mole?",
               "Wann fährt die Fähre zur Insel ab?"),
}  # fmt: skip


def pair(id: str, question: str, answer: str) -> Record:
    return Record(id, (Segment(question, "context"), Segment(answer, "target")), id)


@pytest.mark.parametrize("similarity", [Lexical(), WordOverlap()], ids=["lexical", "overlap"])
@pytest.mark.parametrize("script", QUESTIONS)
def test_near_copies_are_near_and_others_far(script, similarity):
    asked, near, other = QUESTIONS[script]
    scores = similarity.fit([asked], [near, other, asked], BindContext(None)).scores([0])[0]
    assert scores[0] > 0.7
    assert scores[1] < LOW
    assert scores[2] == pytest.approx(1.0)


@pytest.mark.parametrize("script", QUESTIONS)
def test_the_same_input_never_stands_in_its_own_context(script):
    asked, _, other = QUESTIONS[script]
    copy = unicodedata.normalize("NFD", asked[:5] + "\u00ad" + asked[5:] + "\u200b ").upper()
    guard = Guard.of([pair("a", asked, "x")], [pair("b", copy, "y"), pair("c", other, "x")])
    assert guard.barred == (frozenset({0}),)


def test_answers_are_the_same_in_any_composition():
    rows = [pair("a", "wo?", "Größe")]
    guard = Guard.of(rows, [pair("b", "wann?", unicodedata.normalize("NFD", "GRÖSSE ")), pair("c", "wer?", "Grösser")])
    assert (guard.answers[1] == guard.answers[0][0]).tolist() == [True, False]
