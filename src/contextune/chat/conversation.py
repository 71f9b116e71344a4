"""Questions to several models at once, and what each of them was given to read."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from collections.abc import Sequence as Seq
from contextlib import closing
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from contextune.core.errors import UserError
from contextune.core.items import Turns
from contextune.generation.protocol import Request

from .contexts import Library, preceded
from .speakers import Speaker

if TYPE_CHECKING:
    from contextune.generation.local import LocalEngine


@dataclass(frozen=True)
class Settings:
    """How answers are written: `system` is a turn before all others; temperature 0 is greedy."""

    system: str = ""
    max_tokens: int = 200
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of what happens after a question: `kind` is context (what precedes it), text, end or error."""

    kind: str
    speaker: str
    text: str


@dataclass
class Conversation:
    """Each model keeps its own turns; what precedes a question stands in the newest turn alone.

    Models without a chat template go on from each question alone, to the end of the line. One answer at a time is
    written.
    """

    speakers: Seq[Speaker]
    settings: Settings = field(default_factory=Settings)
    library: Library | None = None
    context: str = ""
    turns: dict[str, Turns] = field(default_factory=dict)
    _engines: dict[str, LocalEngine] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def engine(self, speaker: Speaker) -> LocalEngine:
        """The model, loaded the first time it is asked for."""
        if speaker.name not in self._engines:
            from contextune import models
            from contextune.experiment.scoring import open_for_scoring
            from contextune.generation.local import LocalEngine

            loaded = open_for_scoring(speaker.model, speaker.path)
            self._engines[speaker.name] = LocalEngine(loaded, models.load_tokenizer(speaker.path, speaker.model))
        return self._engines[speaker.name]

    def seen(self, question: str, retrieve: bool = True) -> str:
        """What precedes a question: the given context, and where there are documents the passages found for it."""
        found = self.library.find(question) if self.library and retrieve else []
        return "\n\n".join(filter(None, (self.context.strip(), *found)))

    def ask(self, question: str, context: str | None = None, only: Seq[str] = ()) -> Generator[Part]:
        """The answers, one model after the other, in parts. `context` replaces what `seen` would give.

        A model that cannot answer gives an error instead, and the others go on.
        """
        read = self.seen(question) if context is None else context
        with self._lock:
            for speaker in self.speakers:
                if only and speaker.name not in only:
                    continue
                yield Part("context", speaker.name, read)
                try:
                    yield from self._answer(speaker, question, read)
                except UserError as e:
                    yield Part("error", speaker.name, f"{e.message}; {e.hint}" if e.hint else e.message)

    def forget(self) -> None:
        """Begin anew: no turn so far is shown to a model again."""
        self.turns.clear()

    def _answer(self, speaker: Speaker, question: str, read: str) -> Iterator[Part]:
        from contextune.generation.streaming import stream

        engine, said = self.engine(speaker), preceded(question, read)
        before = self.turns.get(speaker.name, ())
        system = ((("system", self.settings.system),) if self.settings.system else ()) if not before else ()
        turns = (*before, *system, ("user", said))
        how = self.settings
        sampling = (how.max_tokens, how.temperature, how.seed)
        talks = bool(engine.tokenizer.chat_template)
        request = Request(said, *sampling, turns=turns) if talks else Request(said, *sampling, stop=("\n",))
        answer = ""
        with closing(stream(engine, request)) as parts:
            for text in parts:
                answer += text
                yield Part("text", speaker.name, text)
        self.turns[speaker.name] = (*turns[:-1], ("user", question), ("assistant", answer.strip()))
        yield Part("end", speaker.name, "")
