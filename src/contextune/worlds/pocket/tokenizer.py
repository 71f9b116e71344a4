"""The pocket model's tokenizer: a name is always the same two tokens, and any text can be written.

Words and the first syllables of names carry the space before them. Where a word begins without one
(at the start of a text, after a line break or a bracket) a joiner is put before it, which takes that
space back when decoding:

    "Kalo teaches"  ->  JOINER " Ka" "lo" " teaches"
    " Kalo"         ->         " Ka" "lo"

so that a name has the same ids in any surroundings and a segment tokenised apart joins its prompt
exactly. Letters, common pieces and bytes cover all other text.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

from .. import language
from .english import PIECES, WORDS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

JOINER = "\ue000"
"""A private-use character: the word after it is written without a space."""

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
LABELS = ("question", "answer", "input", "output", *language.OPERATIONS)
"""Words that are one token with the colon after them: a label costs one position, not two."""

WHOLE, SYLLABLE, PIECE, CHARACTER, BYTE = -1.0, -2.0, -6.0, -10.0, -30.0
"""Scores: a word beats its syllables, syllables beat pieces, and letters beat bytes."""


def words() -> list[str]:
    """Every lower-case word that the language can say, and common English ones, in a fixed order."""
    texts = [w for r in language.RELATIONS.values() for w in (*r.forward, *r.backward, *r.asks_a, *r.asks_b)]
    texts += [*language.PREAMBLES, *language.ROLES, *language.QUALITIES, *language.OBJECTS, *language.COLOURS]
    texts += [*language.PARTS, *language.COMMANDS, *language.MARKERS, *language.OPERATIONS, "a long round", "the of"]
    texts += [prompt + answer for prompt, answer in language.common_facts()]
    texts += [language.ask(""), *language.verify("", True), *language.transform("", ""), "conclude about and", "no"]
    said = re.findall(r"[a-z]+", " ".join(re.sub(r"\{.\}", "", t) for t in texts))
    return sorted({*said, *WORDS})


def vocabulary() -> list[tuple[str, float]]:
    """Tokens and their scores in the order of their ids."""
    tokens = [(token, 0.0) for token in SPECIAL] + [(f"<0x{byte:02X}>", BYTE) for byte in range(256)]
    tokens += [(JOINER, SYLLABLE)]
    tokens += [(f" {s.capitalize()}", SYLLABLE) for s in language.SYLLABLES]
    tokens += [(s, SYLLABLE) for s in language.SYLLABLES]
    capitals = [w.capitalize() for w in WORDS[:160]]
    tokens += [(f" {w}", WHOLE) for w in [*words(), *(w for w in capitals if not _is_name(w))]]
    tokens += [(f" {w}:", WHOLE) for w in LABELS]
    known = {token for token, _ in tokens}
    rest = [*string.ascii_letters, *string.digits, *string.punctuation, " ", "\n", "\t", *PIECES]
    rest += [f" {c}" for c in string.ascii_letters + string.digits]
    return tokens + [(t, CHARACTER if len(t.strip()) < 2 else PIECE) for t in dict.fromkeys(rest) if t not in known]


def _is_name(word: str) -> bool:
    syllable = "|".join(sorted(language.SYLLABLES, key=len, reverse=True))
    return re.fullmatch(f"({syllable})+", word.lower()) is not None


def build() -> PreTrainedTokenizerFast:
    """The tokenizer, which puts <s> before a text where special tokens are asked for."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.Unigram(vocabulary(), unk_id=SPECIAL.index("<unk>"), byte_fallback=True))
    core.normalizer = normalizers.Replace(Regex(r"(?<![ A-Za-z])(?=[A-Za-z])"), JOINER + " ")
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[A-Za-z]+:?|[^A-Za-z ]| "), "isolated")
    core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Replace(JOINER + " ", "")])
    core.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", SPECIAL.index("<s>"))])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="right",
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )
