"""A metric: the share of the gold answer's words that occur in the output."""

from contextune.core import registry
from contextune.evaluate.metrics import ItemMetric


@registry.metrics("token_recall")
class TokenRecall(ItemMetric):
    """Words of the gold answer in the output, whatever the case."""

    def worth(self, output: str, gold: str) -> float:
        said, wanted = ({*text.lower().split()} for text in (output, gold))
        return len(said & wanted) / max(1, len(wanted))
