"""Nearness of meaning: vectors of a model, less their mean over the pool, and the cosine where it is above 0.

Raw cosines of a language model's states pile up near 1, which would leave the grade low empty; taking
the pool's mean away spreads them. Without an encoder the recipe's own model, untrained, gives the mean
of its last hidden states over a text's tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.options import LONGEST
from contextune.retrieval.cache import kept, key
from contextune.retrieval.similarity import Similarity
from contextune.retrieval.space import Floats, Space

from .adapters import load_model
from .at_once import AtOnce, Room, tokens_of
from .resolve import fingerprint, is_adapter
from .weights import refuse_keys

EmbedProgress = Callable[[int, int], None] | None


@registry.similarities("dense")
class Dense(Similarity):
    """The meaning of the whole text, as a model has it."""

    encoder: str | None = Field(
        None, description="folder or name of a sentence encoder (extra 'dense'); default: the recipe's own model"
    )
    max_tokens: int = Field(512, gt=0, le=LONGEST, description="own model only: what is longer is read so far")

    def fit(self, queries: Seq[str], documents: Seq[str], context: BindContext) -> Space:
        name = key("vectors", queries, documents, self.full(), self.content(context))

        def embed() -> dict[str, Floats]:
            texts = list(dict.fromkeys((*queries, *documents)))
            at = {text: i for i, text in enumerate(texts)}
            vectors = self.embed(texts, context)
            return {"queries": vectors[[at[t] for t in queries]], "documents": vectors[[at[t] for t in documents]]}

        found = kept(context.cache, name, embed)
        return space(found["queries"], found["documents"])

    def content(self, context: BindContext) -> str:
        return fingerprint(self.path(context))

    def path(self, context: BindContext) -> str:
        if self.encoder is None:
            if context.model is None:
                raise UserError("similarity dense: no model to take states from", "name an encoder")
            return context.model
        local = (context.folder or Path()) / Path(self.encoder).expanduser()
        return str(local) if local.is_dir() else self.encoder

    def embed(self, texts: Seq[str], context: BindContext) -> Floats:
        """Vectors [texts, width], not yet centred."""
        path = self.path(context)
        return encoded(path, texts) if self.encoder else pooled(path, texts, self.max_tokens, context.progress)


def space(queries: Floats, documents: Floats) -> Space:
    """Both less the documents' mean, of length 1; a vector that is the mean itself is like nothing."""
    mean = documents.mean(0, keepdims=True) if len(documents) else np.zeros((1, queries.shape[1]), np.float32)
    return Space(_unit(queries - mean), _unit(documents - mean))


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(length > 1e-6, vectors / length, 0.0).astype(np.float32)


def encoded(path: str, texts: Seq[str]) -> Floats:
    """Vectors of a sentence encoder."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise UserError(
            "similarity dense: an encoder needs sentence-transformers", "pip install 'contextune[dense]'"
        ) from None
    try:
        model = SentenceTransformer(path, trust_remote_code=False, model_kwargs={"use_safetensors": True})
    except (OSError, ValueError) as e:
        raise UserError(
            f"similarity dense: {path} is not a sentence encoder ({str(e).splitlines()[0]})",
            "give a folder that sentence-transformers wrote, or a name on the hub",
        ) from None
    return np.asarray(model.encode(list(texts), show_progress_bar=False, convert_to_numpy=True), np.float32)


ON_CPU = 8192
"""Tokens at once on a CPU, where memory holds them."""


def pooled(
    path: str, texts: Seq[str], max_tokens: int, progress: EmbedProgress = None, tokens: AtOnce = "auto"
) -> Floats:
    """Mean of a causal model's last hidden states over each text's tokens; `tokens` are computed at once, half as many
    after each time that memory runs out.
    """
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    model = _encoder(path).eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    ids = [tokenizer.encode(t)[:max_tokens] or [tokenizer.eos_token_id or 0] for t in texts]
    out = np.zeros((len(ids), model.config.hidden_size), np.float32)
    order, at = sorted(range(len(ids)), key=lambda i: len(ids[i])), 0
    room = Room(tokens_of(tokens, model, ON_CPU))

    def states(part: list[int]) -> Floats:
        return _states(model, [ids[i] for i in part], device)

    def area(part: list[int]) -> int:
        return len(part) * max(len(ids[i]) for i in part)

    with torch.inference_mode():
        while at < len(order):
            batch = order[at : at + 1]
            while at + len(batch) < len(order) and len(ids[order[at + len(batch)]]) * (len(batch) + 1) <= room.tokens:
                batch.append(order[at + len(batch)])
            for part, found in room.results(batch, states, area):
                out[part] = found
                at += len(part)
                if progress is not None:
                    progress(at, len(order))
    return out


def _encoder(path: str) -> Any:
    """A model without its head."""
    import torch
    from transformers import AutoModel

    if is_adapter(path):
        return load_model(path).base_model
    model, info = AutoModel.from_pretrained(
        path, use_safetensors=True, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
    )
    refuse_keys(path, model, {**info, "unexpected_keys": ()})
    return model


def _states(model: Any, rows: Seq[list[int]], device: str) -> Floats:
    """Padded on the right, where a causal model does not look."""
    import torch

    width = max(map(len, rows))
    ids = torch.tensor([r + [0] * (width - len(r)) for r in rows], device=device)
    mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows], device=device)
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state.float() * mask[:, :, None]
    return np.asarray((states.sum(1) / mask.sum(1, keepdim=True)).cpu().numpy(), np.float32)
