from example_plugin.short import Short

from contextune.augment import Inferred, Passage
from contextune.core.binding import BindContext


def test_short(tokenizer):
    passage = Passage("p", "Kalo teaches Mido.", "p")
    judge = Short(words=3).bind(BindContext(tokenizer))
    assert judge([Inferred(text, passage, "reversal/1") for text in ("Mido.", "Mido learns much.")]) == ["short", ""]
