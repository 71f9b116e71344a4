"""Ways to study a text, invented for it, then carried out (Active Reading, Lin et al. 2025, arXiv 2508.09494)."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.generation.protocol import Failure
from contextune.prompts.yaml_models import digest, find, read_text

from ..base import Passage
from ..demonstrations import copied
from ..prompt_template import PromptTemplate, load
from ..prompted import Local, PromptRequest
from ..replies import lines


@registry.operations("active_reading")
class ActiveReading(Local):
    """A study text for each strategy."""

    reads: ClassVar[Literal["sentence", "document"]] = "document"
    strategies: int = Field(5, ge=1, le=1000, description="of a document at most")
    questions: str | None = Field(
        None, description="a text file, one question a line, that the strategies should prepare for; never a test's own"
    )

    def content(self, folder: Path | None, style: str = "plain") -> object:
        first = load("strategies", style)
        return [super().content(folder, style), first.hash, digest(self._questions(folder))]

    def asks(self, passages: Seq[Passage], context: BindContext, template: PromptTemplate) -> Iterable[PromptRequest]:
        first = load("strategies", context.prompt_style)
        row = {"questions": self._questions(context.folder)}
        asked = [PromptRequest(p, first.prompts[0], {"text": p.text.strip(), **row}) for p in passages]
        answers = context.writer_for(f"operation {self.name}")([self.request(first, a) for a in asked])
        for passage, answer in zip(passages, answers, strict=True):
            said = [] if isinstance(answer, Failure) else lines(answer)
            found = [s for s in said if not copied(s, passage.text, first.shown)][: self.strategies]
            for strategy in found:
                values = {"text": passage.text.strip(), "strategy": strategy}
                yield from (PromptRequest(passage, prompt, values) for prompt in template.prompts)

    def _questions(self, folder: Path | None) -> str:
        return "" if self.questions is None else read_text(find(self.questions, folder)).strip()
