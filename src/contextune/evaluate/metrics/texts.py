"""chrF and BLEU by sacrebleu: of one answer, and of a corpus under any weights of its items.

A corpus score is a function of summed n-gram counts, so that a bootstrap resample is one matrix product; with
weights of one it equals sacrebleu's `corpus_score`. Everything is in [0, 1], not in per cent.
Popović 2015 (chrF2, six character n-grams); Papineni et al. 2002 (BLEU, tokens by "13a", exponential smoothing).
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from contextune.core import registry

from .metric import ItemMetric, Outcomes

if TYPE_CHECKING:
    from .metric import Array, Estimator


@cache
def _scorer(name: str, alone: bool = False) -> Any:
    """sacrebleu's metric; BLEU of a sentence counts only the n-gram orders that it has."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    return CHRF() if name == "chrf" else BLEU(effective_order=alone, force=True)


def sentence(name: str, output: str, gold: str) -> float:
    """chrF or BLEU of one answer against its gold text."""
    return float(_scorer(name, True).sentence_score(output, [gold]).score) / 100


def nearest(output: str, answers: Seq[str]) -> float:
    """The highest chrF of a text against any of several; 0 where there are none."""
    return max((sentence("chrf", output, answer) for answer in answers), default=0.0)


class _Corpus(ItemMetric):
    """One answer by its sentence score, all together by the corpus score."""

    special: ClassVar[bool] = True
    has_majority: ClassVar[bool] = False

    def worth(self, output: str, gold: str) -> float:
        return sentence(self.name, output, gold)

    def of(self, outcomes: Outcomes) -> Estimator:
        import numpy as np

        outputs, golds = (list(outcomes[c]) for c in ("output", "gold"))
        counts = np.array(_scorer(self.name)._extract_corpus_statistics(outputs, [golds]), dtype=np.float64)
        finish = _chrf if self.name == "chrf" else _bleu
        return lambda weights: finish(weights @ counts)


@registry.metrics("chrf")
class Chrf(_Corpus):
    """chrF2: F-score of character n-grams."""

    beside: ClassVar[tuple[str, ...]] = ("bleu",)


@registry.metrics("bleu")
class Bleu(_Corpus):
    """BLEU of the corpus."""

    beside: ClassVar[tuple[str, ...]] = ("chrf",)


def _chrf(counts: Array) -> Array:
    """(…, 18) to (…): F2 of precision and recall averaged over the orders that both sides have."""
    import numpy as np

    shape = (*counts.shape[:-1], -1, 3)
    said, gold, match = np.moveaxis(counts.reshape(shape), -1, 0)
    there = (said > 0) & (gold > 0)
    orders = there.sum(-1).clip(min=1)
    precision = (match / said.clip(min=1e-300) * there).sum(-1) / orders
    recall = (match / gold.clip(min=1e-300) * there).sum(-1) / orders
    scored: Array = 5 * precision * recall / (4 * precision + recall).clip(min=1e-300)
    return scored


def _bleu(counts: Array) -> Array:
    """(…, 10) to (…)."""
    import numpy as np

    def one(row: Array) -> float:
        said, gold, *counts = (round(n) for n in row)
        made = _scorer("bleu").compute_bleu(counts[:4], counts[4:], said, gold, smooth_method="exp")
        return float(made.score) / 100

    return np.apply_along_axis(one, -1, counts)
