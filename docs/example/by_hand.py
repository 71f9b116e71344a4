from contextune import BindContext, DrawKey, Record, Segment, load_tokenizer, render
from contextune.contexts import bind_policy, compose, parse

tokenizer = load_tokenizer("model")
record = Record("tides", (Segment("The tide follows the Moon.", "target"),))
context = bind_policy(parse("prompts"), BindContext(tokenizer, (record,)))
for epoch in (0, 1):
    drawn = compose(record, context, DrawKey(seed=0, epoch=epoch))
    rendered = render(drawn, tokenizer, max_length=160)
    print(drawn.provenance["prompt"], len(rendered), "tokens,", rendered.trained, "trained on")
print(rendered.ids[-8:], rendered.labels[-8:])
