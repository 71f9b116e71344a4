from example_plugin.cloze import Cloze

from contextune.augment import Passage
from contextune.core.binding import BindContext


def test_cloze(tokenizer):
    made = list(Cloze().infer([Passage("p", "Kalo teaches Mido.", "p")], BindContext(tokenizer)))
    assert [(m.prompt, m.text) for m in made] == [
        ("____ teaches Mido. Missing:", " Kalo"),
        ("Kalo teaches ____. Missing:", " Mido"),
    ]
