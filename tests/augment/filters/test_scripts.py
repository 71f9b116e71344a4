"""Filters compare texts of every script in the normal form."""

from __future__ import annotations

import unicodedata

import pytest

from contextune.augment.filters.duplicate import _Near
from contextune.augment.filters.text import normal, words

TEXTS = {
    "Chinese": ("红灯立在西边的防波堤上，守灯人每天黄昏把它点亮。", "渡船中午离开小岛，在天黑以前回来接孩子们上学。"),
    "Japanese": ("赤い灯台は西の防波堤の上に立っています。", "船は正午に島を出て、暗くなる前に戻ってきます。"),
    "Thai": ("ประภาคารสีแดงตั้งอยู่บนเขื่อนกันคลื่นทางทิศตะวันตก", "เรือออกจากเกาะตอนเที่ยงและกลับมาก่อนค่ำ"),
    "German": ("Der rote Turm steht über dem alten Kai.", "Die Fähre kehrt zurück, bevor es dunkel wird."),
}


@pytest.mark.parametrize("script", TEXTS)
def test_copies_are_duplicates_and_others_are_not(script):
    text, other = TEXTS[script]
    copy = unicodedata.normalize("NFD", text[:4] + "\u00ad" + text[4:]) + "\u200b"
    assert normal(copy) == normal(text) != normal(other)
    assert words(copy) == words(text)
    near = _Near(0.8, 3)
    near.add(text, "of an original")
    assert near.find(copy) == "of an original"
    assert not near.find(other)
