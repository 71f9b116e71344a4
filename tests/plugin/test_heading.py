from example_plugin.heading import Heading

from contextune.contexts import bind_policy, compose
from contextune.core.binding import BindContext
from contextune.core.sequence import DrawKey, Record, Segment, render


def test_heading(tokenizer):
    record = Record("r", (Segment("w1 w2", "target"),), fields={"title": "w3", "source": "w4"})
    policy = Heading(columns=("title",), max_tokens=2)
    bound = bind_policy(policy, BindContext(tokenizer))
    rendered = render(compose(record, bound, DrawKey(0, 0)), tokenizer)
    assert rendered.ids == (1, 3, 11, 9, 10, 2)  # "title:" is no word of this tokenizer
    assert rendered.labels == (-100, -100, -100, 9, 10, 2)
    assert bound.draw(record, DrawKey(0, 0)) == bound.draw(record, DrawKey(7, 3))
    assert policy.max_context_tokens(tokenizer) == 2
