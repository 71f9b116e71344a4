"""The name of its file before each text."""

from typing import ClassVar, Literal

from contextune.contexts import Drawn, Policy, Scene, register
from contextune.sequence import Moment, Record, Segment, encode


@register
class SourceLine(Policy):
    name: ClassVar[str] = "source_line"
    policy: Literal["source_line"] = "source_line"
    word: str = "Source:"

    def bind(self, scene: Scene) -> "Bound":
        return Bound(self.word, scene)


class Bound:
    def __init__(self, word: str, scene: Scene) -> None:
        self.word, self.scene = word, scene

    def before(self, record: Record, at: Moment) -> Drawn:
        return Drawn((Segment(f"{self.word} {record.origin}\n", "context"),), {"line": record.origin})

    def longest(self) -> int:
        texts = (self.before(r, Moment(0, 0)).segments[0].text for r in self.scene.records)
        return max((len(encode(t, self.scene.tokenizer)) for t in texts), default=64)
