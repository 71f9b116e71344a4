"""The pocket model: its hash, its skills on fresh names, its tokenizer, and that tests stay out of its data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from contextune.core.errors import UserError
from contextune.core.sequence import IGNORED, Record, Segment, Sequence, render
from contextune.worlds import language, pocket
from contextune.worlds.pocket import corpus, english, measure, pretrain

MODEL = pocket.path()
NAMES = language.all_names(True) + language.all_names(False)
texts = st.text(st.characters(exclude_categories=("Cs", "Co")))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(MODEL)


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(MODEL).eval()


# -------------------------------------------------------------------------------- shipped


def test_weights_are_those_the_card_names() -> None:
    notes = pocket.measured(MODEL)
    assert pocket.digest(MODEL) == notes["sha256"]
    card = (MODEL / "README.md").read_text(encoding="utf-8")
    assert card == pocket.card(notes)
    assert notes["sha256"] in card
    assert not re.search(r"\{\w+\}", card)


def test_model_is_small(model: PreTrainedModel) -> None:
    assert sum(p.numel() for p in model.parameters()) <= 2_000_000
    assert (MODEL / "model.safetensors").stat().st_size <= 8_000_000
    assert model.config.model_type == "llama"


@pytest.mark.slow
def test_skills_hold_on_fresh_names(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """As the card has them, less three standard errors of 64 items; and no skill is a poor one."""
    noted = pocket.measured(MODEL)["skills"]
    measured = pocket.skills(model, tokenizer, seed=77, n=64)
    assert 0.05 <= measured.pop("knowledge") <= 0.45  # chance is 0.25
    error = {name: (max(noted[name] * (1 - noted[name]), 0.01) / 64) ** 0.5 for name in measured}
    assert not {name: value for name, value in measured.items() if value < noted[name] - 3 * error[name]}
    assert min(measured.values()) > 0.85


def test_a_wrong_answer_is_not_right(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    prompt, answer = "Kalo teaches Mido.\nMido is taught by", " Kalo."
    assert measure.right(model, tokenizer, [(prompt, answer), (prompt, " Mido."), (prompt, " Kalo")]) == [
        True,
        False,
        False,
    ]


def test_generation_ends_by_itself(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    asked = tokenizer("Kalo teaches Mido.\nreversal:", return_tensors="pt")
    made = model.generate(**asked, max_new_tokens=20, do_sample=False)[0, asked.input_ids.shape[1] :]
    assert tokenizer.decode(made) == " Mido is taught by Kalo.</s>"


def test_words_before_a_document_do_not_change_its_answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Held against the same items without them: how many are right is the card's matter."""
    asked = measure.items("reversal", 5, 96)
    before = "Depth: Go below the surface. Trace how each result comes about, and why the details are as they are. "
    alone = measure.right(model, tokenizer, asked)
    behind = measure.right(model, tokenizer, [(before + p, a) for p, a in asked])
    assert sum(one != other for one, other in zip(alone, behind, strict=True)) <= 4


# ------------------------------------------------------------------------------ tokenizer


@settings(max_examples=200, deadline=None)
@given(texts)
def test_any_text_comes_back(text: str) -> None:
    tokenizer = _tokenizer()
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == text


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(NAMES), st.sampled_from(["", " ", "\n", "(", '"', "x ", "7", "é", "Kalo ", "the ", ". "]), texts)
def test_a_name_is_the_same_two_tokens_anywhere(name: str, before: str, after: str) -> None:
    tokenizer = _tokenizer()
    alone = tokenizer.encode(f" {name}", add_special_tokens=False)
    assert len(alone) == 2
    if after[:1].isascii() and after[:1].isalpha():
        after = f" {after}"  # a letter would make another word of it
    ids = tokenizer.encode(f"{before}{name}{after}", add_special_tokens=False)
    rest = tokenizer.encode(before, add_special_tokens=False)
    rest = rest[:-1] if before.endswith(" ") else rest
    found = [i for i in range(len(ids) - 1) if ids[i : i + 2] == alone]
    assert any(len(rest) <= i <= len(rest) + 1 for i in found)


@given(st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_a_prompt_and_its_answer_join_without_a_seam(a: str, b: str) -> None:
    tokenizer = _tokenizer()
    prompt, answer = language.Fact("teach", a, b).cut()
    apart = tokenizer.encode(prompt, add_special_tokens=False) + tokenizer.encode(answer, add_special_tokens=False)
    assert apart == tokenizer.encode(prompt + answer, add_special_tokens=False)


def test_render_puts_the_beginning_and_the_end(tokenizer: PreTrainedTokenizerFast) -> None:
    segments = Record("0", (Segment("Kalo teaches", "context"), Segment(" Mido.", "target"))).segments
    made = render(Sequence(segments), tokenizer)
    assert tokenizer.convert_ids_to_tokens(list(made.ids)) == [
        "<s>", "\ue000", " Ka", "lo", " teaches", " Mi", "do", ".", "</s>",
    ]  # fmt: skip
    assert made.labels[:5] == (IGNORED,) * 5
    assert made.labels[5:] == made.ids[5:]


_made: list[PreTrainedTokenizerFast] = []


def _tokenizer() -> PreTrainedTokenizerFast:
    if not _made:
        _made.append(AutoTokenizer.from_pretrained(MODEL))
    return _made[0]


# ------------------------------------------------------------------------------------ data


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 50), st.integers(0, 10_000), st.sampled_from(list(corpus.WRITERS)))
def test_documents_are_pure_and_never_name_a_test_entity(seed: int, index: int, kind: str) -> None:
    document = corpus.document(seed, index, only=kind)
    assert document == corpus.document(seed, index, only=kind)
    words = re.findall(r"[A-Z][a-z]+", document.text)
    english_words = {w.capitalize() for w in english.WORDS}  # four of them read like names: Have, Life, Note, Same
    assert not [w for w in words if w in set(language.all_names(True)) - english_words]
    # Openings ask nothing where no wording drawn begins with its own side.
    assert kind == "openings" or any(kind == "answer" for _, kind in document.spans)


@given(st.integers(0, 500))
def test_only_answers_and_ends_bear_loss(index: int) -> None:
    tokenizer = _tokenizer()
    document = corpus.document(3, index)
    ((ids, labels),) = pretrain.rows([document], tokenizer)
    answers = [text for text, kind in document.spans if kind == "answer"]
    end = tokenizer.eos_token_id
    assert labels.count(end) == len(answers)
    borne = [label for label in labels if label not in (IGNORED, end)]
    assert tokenizer.decode(borne) == "".join(answers)
    assert all(label in (IGNORED, end, token) for token, label in zip(ids, labels, strict=True))


# ----------------------------------------------------------------------------------- build


def test_a_killed_build_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrain, "DOCUMENTS", 1)
    monkeypatch.setattr(pretrain, "CHECKPOINT", 3)
    pocket.build(tmp_path / "whole", seed=4, steps=5, n=2, quiet=True)

    def killed(step: int, loss: float) -> None:
        if step == 4:
            raise KeyboardInterrupt

    (tmp_path / "halved").mkdir()
    torch.set_num_threads(pocket.THREADS)
    with pytest.raises(KeyboardInterrupt):
        pretrain.pretrain(_tokenizer(), 4, tmp_path / "halved", 5, killed)
    torch.set_num_threads(1)
    with pytest.raises(UserError, match="seed 4"):
        pocket.build(tmp_path / "halved", seed=5, steps=5, n=2, quiet=True)
    pocket.build(tmp_path / "halved", seed=4, steps=5, n=2, quiet=True)
    assert pocket.digest(tmp_path / "whole") == pocket.digest(tmp_path / "halved")
    assert not (tmp_path / "halved" / "building.pt").exists()
    with pytest.raises(UserError, match="already holds a model"):
        pocket.build(tmp_path / "whole")
