from contextune import Moment, Record, Segment, render
from contextune.contexts import Scene, compose, find
from contextune.models import load_tokenizer

tokenizer = load_tokenizer("model")
record = Record("tides", (Segment("The tide follows the Moon.", "target"),))
context = find("prompts")(policy="prompts").bind(Scene(tokenizer, (record,)))
for epoch in (0, 1):
    drawn = compose(record, context, Moment(seed=0, epoch=epoch))
    rendered = render(drawn, tokenizer, max_length=160)
    print(drawn.provenance["prompt"], len(rendered), "tokens,", rendered.trained, "bear loss")
print(rendered.ids[-8:], rendered.labels[-8:])
