"""One text, one sequence of ids: tokenizers built as those of eight families are, each with a small vocabulary."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune.core.asking import asked_ids, pair, with_specials
from contextune.core.encoding import count, decode, encode, encode_all, joins, token_texts
from contextune.core.errors import UserError
from contextune.core.sequence import IGNORED, Segment, Sequence, at_seams, lay_out, render
from contextune.core.special_tokens import begins, control_tokens, controls, text_ends

TEXTS = [
    "The ferry to the island leaves at noon. At noon the keeper counts the boats.",
    "Question: when does it leave?\nAt noon.\n\nAnswer: At noon, at 12:30.",
    "Das Schiff fährt um zwölf. 東京の港。 ท่าเรือ",
]
SPECIALS = ["<pad>", "<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>"]


def family(name: str):
    """A tokenizer with the parts (normaliser, splitter, decoder, post-processor) of a family of models."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    sentencepiece = name in ("llama2", "tinyllama", "gemma", "xglm")
    if name == "xglm":
        core = Tokenizer(models.Unigram())
    else:
        core = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>") if sentencepiece else models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=name == "roberta", use_regex=name != "llama3")
    if name == "llama2":  # the old way: a normaliser writes the space
        core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        core.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    elif name in ("tinyllama", "xglm"):
        if name == "xglm":  # reads line ends as spaces
            core.normalizer = normalizers.Replace("\n", " ")
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first" if name == "tinyllama" else "always")
        core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    elif name == "gemma":
        core.normalizer = normalizers.Replace(" ", "▁")
        core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    else:
        if name == "qwen":
            core.normalizer = normalizers.NFC()
        splitter = {"llama3": r"\s*[\r\n]+| ?\p{L}+|\p{N}{1,3}|\s+|[^\s\p{L}\p{N}]+", "smollm": r"\p{N}"}.get(name)
        parts = [pre_tokenizers.Split(Regex(splitter), "isolated"), byte_level] if splitter else [byte_level]
        core.pre_tokenizer = pre_tokenizers.Sequence(parts)
        core.decoder = decoders.ByteLevel()
    alphabet = sorted({c for t in TEXTS for c in t} - {" ", "\n"}) if sentencepiece else byte_level.alphabet()
    specials = SPECIALS + ([f"<0x{i:02X}>" for i in range(256)] if name in ("llama2", "tinyllama", "gemma") else [])
    options = {"special_tokens": specials, "initial_alphabet": [*alphabet, "▁"], "show_progress": False}
    trainer = (
        trainers.UnigramTrainer(vocab_size=200, unk_token="<unk>", **options)
        if name == "xglm"
        else trainers.BpeTrainer(vocab_size=640, **options)
    )
    splitter, texts = core.pre_tokenizer, TEXTS
    if sentencepiece:  # no piece crosses words, and a line end is a byte
        core.pre_tokenizer = pre_tokenizers.Sequence(
            [*([splitter] if splitter else []), pre_tokenizers.Split("▁", "merged_with_next")]
        )
        texts = [t.replace("\n", " ") for t in TEXTS]
    core.train_from_iterator(texts * 3, trainer)
    if sentencepiece and splitter is None:
        core.pre_tokenizer = None
    whole = json.loads(core.to_str())  # bytes are ordinary pieces
    whole["added_tokens"] = [token for token in whole["added_tokens"] if token["content"] in SPECIALS]
    core = Tokenizer.from_str(json.dumps(whole))
    ends = " </s>" if name == "xglm" else ""
    if name not in ("qwen", "smollm", "gpt2"):
        core.post_processor = processors.TemplateProcessing(f"<s> $A{ends}", special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


FAMILIES = ["llama2", "tinyllama", "gemma", "llama3", "qwen", "smollm", "gpt2", "roberta"]


@pytest.fixture(scope="module", params=FAMILIES)
def tokenizer(request):
    return family(request.param)


def tokens(tokenizer, ids):
    return tokenizer.convert_ids_to_tokens(list(ids))


def test_the_families_differ():
    """Those that put a space before the first word of whatever they are given."""
    assert [name for name in FAMILIES if joins(family(name))] == ["llama2", "tinyllama", "roberta"]


def test_a_text_behind_another_has_the_ids_of_running_text(tokenizer):
    """Cut anywhere but inside a word: the pieces' ids are those of the whole."""
    text = TEXTS[0] + "\n" + TEXTS[1]
    whole = encode(text, tokenizer)
    for at in (len(TEXTS[0]), len(TEXTS[0]) + 1, text.index(" At noon the"), text.index("\nAt noon.")):
        head, tail = text[:at], text[at:]
        assert tokens(tokenizer, encode(head, tokenizer) + encode(tail, tokenizer, amid=True)) == tokens(
            tokenizer, whole
        )


def test_training_and_scoring_take_the_same_ids(tokenizer):
    for prompt, answer in (("When does it leave?\n", "At noon."), ("Answer:", " At noon."), ("Q: é\n\n", "The boats")):
        row = render(Sequence((Segment(prompt, "context"), Segment(answer, "target")), ends=False), tokenizer)
        learned = [label for label in row.labels if label != IGNORED]
        given, scored = pair(prompt, answer, tokenizer)
        assert list(row.ids) == given + scored
        assert tokens(tokenizer, scored)[-len(learned) :] == tokens(tokenizer, learned)


@pytest.mark.parametrize("prompt", ["Answer:", "Q: when?\n", "Q: é\n\n", "東京の", "It is 1", "(", "a\t"])
@pytest.mark.parametrize("answer", ["At noon", " At noon", "東京", "12", " 12", "\nAt", "'s", "é"])
def test_no_seam_loses_a_token(tokenizer, prompt, answer):
    """Training, scoring and generation see the same ids, also where running text would join the two into one token."""
    row = render(Sequence((Segment(prompt, "context"), Segment(answer, "target")), ends=False), tokenizer)
    learned = sum(label != IGNORED for label in row.labels)
    given, scored = pair(prompt, answer, tokenizer)
    assert list(row.ids[: len(row) - learned]) == asked_ids(prompt, tokenizer)
    assert decode(given + scored, tokenizer, follows=False).strip() == (prompt + answer).strip()
    assert list(row.ids) == given + scored


@pytest.mark.parametrize("prompt", ["Answer: ", "Q: when?\n ", "Answer:  ", "noon \n ", "(", " "])
@pytest.mark.parametrize("answer", ["At noon", " At", "\nAt", "東京", "12", "é"])
def test_no_space_at_a_seam_is_another_for_scoring(tokenizer, prompt, answer):
    """Where the harness's own ids are other ones (a token of the whole text straddles the seam), training's count."""
    row = render(Sequence((Segment(prompt, "context"), Segment(answer, "target")), ends=False), tokenizer)
    learned = sum(label != IGNORED for label in row.labels)
    given, scored = pair(prompt, answer, tokenizer)
    assert list(row.ids) == given + scored
    if prompt.strip():
        asked = asked_ids(prompt, tokenizer)
        assert list(row.ids[: len(row) - learned]) == (asked if answer[0].strip() else with_specials(prompt, tokenizer))


def test_a_space_that_ends_a_prompt_is_left_to_be_written(tokenizer):
    """As in training, where it is the answer's."""
    row = render(Sequence((Segment("Answer: ", "context"), Segment("Noon", "target")), ends=False), tokenizer)
    learned = sum(label != IGNORED for label in row.labels)
    assert list(row.ids[: len(row) - learned]) == asked_ids("Answer: ", tokenizer) == asked_ids("Answer:", tokenizer)


@pytest.mark.parametrize("name", ["llama2", "tinyllama", "roberta"])
def test_a_space_that_ends_a_context_is_the_first_words(name):
    """Behind a learning prompt the text has the ids that it has alone, so that arms train on the same tokens."""
    tokenizer = family(name)
    text = Segment("The ferry leaves at noon.", "target")
    alone, behind = (
        [label for label in render(Sequence(s), tokenizer).labels if label != IGNORED]
        for s in ((text,), (Segment("Count the boats. ", "context"), text))
    )
    assert alone == behind
    row = render(Sequence((Segment("Count the boats. ", "context"), text)), tokenizer)
    assert decode(row.ids, tokenizer, follows=False).strip() == "Count the boats. The ferry leaves at noon."


def test_counts_hold_wherever_a_text_stands(tokenizer):
    for text in (*TEXTS, "At", " At", "\nAt", "é", "東"):
        for before in ("", "x\n", "The ", "noon."):
            row = Segment(before, "context"), Segment(text, "target")
            pieces, moved = lay_out(row, tokenizer)[1], at_seams(row, tokenizer)[1]
            assert len(pieces[1][1]) <= count(moved, tokenizer)


@pytest.mark.parametrize("text", ["a <s>b</s>", "<|im_end|>", "</s></s>", "x<pad>y <unk>", "<|im_start|>user\n"])
def test_control_tokens_in_a_text_are_characters(tokenizer, text):
    ids = encode(text, tokenizer)
    assert controls(tokenizer).isdisjoint(ids)
    assert encode_all([text, "a"], tokenizer) == [ids, encode("a", tokenizer)]
    if tokenizer.unk_token_id not in ids:
        assert decode(ids, tokenizer, follows=False).strip() == text.strip()
    marked = encode(text, tokenizer, markup=True)
    assert set(marked) & controls(tokenizer) or text == "x<pad>y <unk>"


def test_control_tokens_of_a_recipes_template_only():
    tokenizer = family("qwen")
    ids = encode("<|im_start|>user\nsay </s><|im_end|>", tokenizer, markup=frozenset({"<|im_start|>", "<|im_end|>"}))
    marks = [t for t in tokens(tokenizer, ids) if t in control_tokens(tokenizer)]
    assert marks == ["<|im_start|>", "<|im_end|>"]
    assert ids == encode("<|im_start|>user\nsay ", tokenizer, markup=True) + encode("</s>", tokenizer) + [5]


def test_what_a_tokenizer_appends_is_no_part_of_a_prompt():
    tokenizer = family("xglm")
    assert tokenizer.encode("At noon")[-1] == tokenizer.eos_token_id
    assert with_specials("At noon", tokenizer) == [1, *encode("At noon", tokenizer)]
    given, scored = pair("The ferry leaves", " at noon", tokenizer)
    assert tokenizer.eos_token_id not in (*given, *scored)
    assert begins(tokenizer) == (1,)
    assert text_ends(tokenizer) == (2,)


def test_the_text_of_tokens(tokenizer):
    for text in TEXTS:
        ids = encode(text, tokenizer)
        if tokenizer.unk_token_id in ids:
            continue
        texts = token_texts(ids, tokenizer)
        assert len(texts) == len(ids)
        assert "".join(texts).strip() == text
        assert "\ufffd" not in "".join(texts)


def test_what_is_written_keeps_its_first_space(tokenizer):
    for said in (" noon", "\nAt noon", " At noon."):
        written = encode(said, tokenizer, amid=True)
        assert decode(written, tokenizer) == said
    assert decode([], tokenizer) == ""


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("aé <s>/|\n東.", min_size=1, max_size=12), min_size=1, max_size=4))
def test_any_segments_are_the_characters_they_were(pieces):
    for name in ("llama2", "qwen"):
        tokenizer = _made(name)
        row = render(Sequence((Segment("x", "context"), *(Segment(p, "target") for p in pieces))), tokenizer)
        assert decode(row.ids, tokenizer, follows=False) == "x" + "".join(pieces)


_kept: dict[str, object] = {}


def _made(name):
    return _kept.setdefault(name, family(name))


def test_a_vocabulary_that_cannot_write_a_control_token_is_refused():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.Unigram([("<unk>", 0.0), ("s", -1.0), ("¤", -1.0)], unk_id=0))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    single = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", eos_token="¤")
    with pytest.raises(UserError, match="can only read as a control token"):
        encode("s¤", single)
