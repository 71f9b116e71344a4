"""Prompts that an engine writes: what it sees, what is kept of its answer, and that nothing is asked twice."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune.contexts import Generated, Prompts, bind_policy, compose
from contextune.contexts.generated import clean, cut, visible
from contextune.core.binding import BindContext
from contextune.core.encoding import encode
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey, Record, Segment, render
from contextune.generation import Failure
from contextune.generation.stored_writer import StoredWriter
from contextune.prompts import load_meta
from tests.generation.fake import Fake, words

ROOT = Path(__file__).parents[2]


def text(name: str, body: str = "", document: str = "") -> Record:
    return Record(name, (Segment(body or f"Body of {name}.", "target"),), document)


def pair(name: str, question: str, answer: str) -> Record:
    return Record(name, (Segment(question, "context"), Segment(answer, "target")))


def about(request) -> str:
    """The passage within the package's meta-prompt."""
    return request.prompt.split("Passage:\n")[1].removesuffix("\n\nPrompt:")


def writer(**options) -> Fake:
    return Fake(lambda r: f'"Look into {about(r)}"', **options)


def binding(bpe, records, engine=None, store=None) -> BindContext:
    return BindContext(bpe, records, writer=StoredWriter(lambda: engine, store, bpe) if engine is not None else None)


def test_one_prompt_a_text(bpe):
    engine, records = writer(), [text(f"r{i}") for i in range(5)]
    context = Generated().bind(binding(bpe, records, engine))
    for record in records:
        (segment,) = context.draw(record, DrawKey(0, 0)).segments
        assert segment == Segment(f"Look into {record.target} ", "context")
    assert sorted(map(about, engine.asked)) == [r.target for r in records]


def test_the_request(bpe):
    engine = writer()
    Generated(max_tokens=40, temperature=0.5, seed=3).bind(binding(bpe, [text("a")], engine))
    (request,) = engine.asked
    assert request.prompt == load_meta().question("Body of a.")
    assert (request.max_tokens, request.temperature, request.seed, request.stop) == (40, 0.5, 3, ())
    assert (request.operation, request.source) == ("learning-prompt/text-adapt@1", "record a")


def test_provenance(bpe):
    context = Generated().bind(binding(bpe, [text("a")], writer(identity="model-7")))
    sequence = compose(text("a"), context, DrawKey(2, 1))
    assert sequence.provenance == {
        "record": "a", "origin": "", "epoch": 1, "seed": 2,
        "prompt_hash": "e2f90840abcb860ac77b45f52788e850", "engine": "model-7", "meta": "text-adapt@1",
    }  # fmt: skip


def test_the_same_in_every_epoch_and_for_every_seed(bpe):
    context = Generated().bind(binding(bpe, [text("a")], writer()))
    draws = [context.draw(text("a"), DrawKey(seed, epoch)) for seed in range(3) for epoch in range(3)]
    assert all(d == draws[0] for d in draws)


def test_pure(bpe):
    """Other records, their order and a copy for a worker make no difference; equal ids of two sources do not mix."""
    records = [text("a", "One."), text("b", "Two."), text("a", "Three.")]
    all_, few = (Generated().bind(binding(bpe, r, writer())) for r in (records[::-1], records[:1]))
    assert all_.draw(records[0], DrawKey(0, 0)) == few.draw(records[0], DrawKey(0, 0))
    copy = pickle.loads(pickle.dumps(all_))
    assert [copy.draw(r, DrawKey(0, 0)).segments[0].text for r in records] == [
        f"Look into {body} " for body in ("One.", "Two.", "Three.")
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1).filter(str.strip), st.integers(0, 10**9)), min_size=1, max_size=8))
def test_the_writer_never_sees_an_answer(bpe, rows):
    """Of a pair it sees the question alone, whatever else is bound with it."""
    engine = Fake(lambda r: "Read on.")
    records = [pair(f"r{i}", question, f"<<answer {number}>>") for i, (question, number) in enumerate(rows)]
    Generated().bind(binding(bpe, records, engine))
    assert {r.prompt for r in engine.asked} == {load_meta().question(question) for question, _ in rows}
    assert not any("<<answer" in r.prompt + r.source for r in engine.asked)


def test_what_is_visible():
    assert visible(text("a", "Raw text.")) == "Raw text."
    assert visible(pair("a", "Why?", "Because.")) == "Why?"
    turns = [("Hi. ", "context"), ("Hello. ", "target"), ("Bye. ", "context"), ("See you.", "target")]
    assert visible(Record("a", tuple(Segment(t, role) for t, role in turns))) == "Hi. Bye. "


def test_nothing_to_read(bpe):
    engine = writer()
    with pytest.raises(UserError, match=r"nothing for the writer to read in records a, c\n"):
        Generated().bind(binding(bpe, [pair("a", "", "Because."), text("b"), pair("c", " \n", "Yes.")], engine))
    assert not engine.asked


class TestClean:
    @pytest.mark.parametrize(
        ("answer", "prompt"),
        [
            ("Look closely.", "Look closely."),
            (' \n "Look closely."\n', "Look closely."),
            ("“Look closely.”", "Look closely."),
            ("**Look closely.**", "Look closely."),
            ("Look\nclosely.\n\nPassage:\nAnother one", "Look closely."),
            ('Here is a prompt:\n\n"Look closely."', "Look closely."),
            ("**Prompt:**\n \nLook closely.", "Look closely."),
            ("Look at these:", "Look at these:"),
            ("Look closely. Then follow the", "Look closely."),
            ("Look closely and follow the", "Look closely and follow the"),
            ('"Why" and "how" matter.', '"Why" and "how" matter.'),
            ('"Why" is not "how"', '"Why" is not "how"'),
            ("<think>The user\n\nwants</think>\n\nLook closely.", "Look closely."),
            ("<think>The user wants", ""),
            ("", ""),
            ('""', ""),
            ('"', '"'),
            (" \n\n ", ""),
        ],
    )
    def test_first_paragraph_without_quotes(self, answer, prompt):
        assert clean(answer, len, 100) == prompt

    @pytest.mark.parametrize(
        ("most", "prompt"),
        [(29, "See this. Ask why? Then go on"), (28, "See this. Ask why?"), (17, "See this."), (8, "See"), (2, "Se")],
    )
    def test_cut(self, most, prompt):
        assert cut("See this. Ask why? Then go on", len, most) == prompt

    def test_a_mark_within_a_word_ends_no_sentence(self):
        assert cut("Take 3.5 units of it", len, 12) == "Take 3.5"

    def test_nothing_fits(self):
        assert cut("word", lambda text: len(text) + 9, 9) == ""

    def test_a_long_answer_is_not_counted_at_each_of_its_ends(self):
        counted: list[int] = []
        long = "So it is. " * 6000
        assert cut(long, lambda text: counted.append(1) or len(text), 100) == "So it is. " * 9 + "So it is."
        assert len(counted) < 20


@settings(max_examples=60, deadline=None)
@given(answer=st.text(max_size=300).filter(lambda a: clean(a, len, 1000) != ""), most=st.integers(16, 64))
def test_max_context_tokens_is_an_upper_bound(bpe, answer, most):
    """Whatever the writer says: in tokens of the model that is trained, the template counted."""
    engine, record = Fake(lambda r: answer), text("a")
    policy = Generated(max_tokens=most)
    context = policy.bind(binding(bpe, [record], engine))
    drawn = context.draw(record, DrawKey(0, 0))
    assert len(encode(drawn.segments[0].text, bpe)) <= policy.max_context_tokens(bpe) == most
    rendered = render(compose(record, context, DrawKey(0, 0)), bpe)
    assert rendered.trained == len(encode(record.target, bpe)) + 1


def test_max_context_tokens_before_there_are_records(bpe):
    """The content budget of all arms is set before anything is cut or written: no engine is opened for it."""
    assert Generated(max_tokens=50).max_context_tokens(bpe) == 50
    engine = writer()
    context = Generated(max_tokens=50).bind(binding(bpe, [], engine))
    assert not engine.asked
    with pytest.raises(UserError, match="record a: no prompt was written for it"):
        context.draw(text("a"), DrawKey(0, 0))


def test_an_empty_answer_is_asked_once_more(bpe):
    """With another seed, and sampled, since greedy decoding would say the same."""
    engine = Fake(lambda r: "Look." if r.seed == 6 else '""' if "of b" in r.prompt else "Read.")
    context = Generated(seed=5).bind(binding(bpe, [text("a"), text("b")], engine))
    assert [context.draw(text(n), DrawKey(0, 0)).segments[0].text for n in "ab"] == ["Read. ", "Look. "]
    assert sorted((about(r), r.seed, r.temperature) for r in engine.asked) == [
        ("Body of a.", 5, 0.0),
        ("Body of b.", 5, 0.0),
        ("Body of b.", 6, 0.7),
    ]


def test_what_stays_empty_is_listed(bpe):
    engine = Fake(lambda r: "" if int(about(r).split()[-1][1:-1]) % 2 else "Read.")
    with pytest.raises(UserError, match=r"no prompt, in two attempts, for records r1, r3, r5\n"):
        Generated().bind(binding(bpe, [text(f"r{i}") for i in range(7)], engine))


def test_a_failure_is_listed_with_its_record(bpe, tmp_path):
    flaky = Fake(lambda r: Failure("out of room") if "of b" in r.prompt else "Read.")
    records = [text("a"), text("b")]
    with pytest.raises(UserError, match="record b: out of room"):
        Generated().bind(binding(bpe, records, flaky, tmp_path / "s"))
    fixed = writer()
    Generated().bind(binding(bpe, records, fixed, tmp_path / "s"))
    assert list(map(about, fixed.asked)) == ["Body of b."]


def test_nothing_is_asked_twice(bpe, tmp_path):
    """Neither for a text that stands twice, nor in a second run, nor for records that were there before."""
    store, records = tmp_path / "s", [text("a"), text("b"), text("again", "Body of a.")]
    first, second, third, other = writer(), writer(), writer(), writer(identity="other")
    Generated().bind(binding(bpe, records, first, store))
    assert len(first.asked) == 2
    Generated().bind(binding(bpe, records, second, store))
    assert not second.asked
    Generated().bind(binding(bpe, [*records, text("c")], third, store))
    assert list(map(about, third.asked)) == ["Body of c."]
    Generated().bind(binding(bpe, records, other, store))
    assert len(other.asked) == 2


def test_own_meta_prompt(bpe, tmp_path):
    (tmp_path / "m.yaml").write_text("name: m\nversion: 3\nask: 'Guide: {{ text }}'\ntemplate: '({{ prompt }}) '\n")
    engine, policy = Fake(lambda r: r.prompt.upper()), Generated(meta="m.yaml").located(tmp_path)
    context = policy.bind(binding(bpe, [text("a")], engine, tmp_path / "s"))
    drawn = context.draw(text("a"), DrawKey(0, 0))
    assert drawn.segments[0].text == "(GUIDE: BODY OF A.) "
    assert drawn.provenance["meta"] == "m@3"
    assert policy.content() == load_meta("m.yaml", tmp_path).hash != Generated().content()


def test_what_is_missing_is_said(bpe, tmp_path):
    with pytest.raises(UserError, match="needs a writer"):
        Generated().bind(binding(bpe, [text("a")]))
    long = "word " * 20 + "{{ prompt }}"
    (tmp_path / "m.yaml").write_text(f"name: m\nversion: 1\nask: '{{{{ text }}}}'\ntemplate: '{long}'\n")
    with pytest.raises(UserError, match=r"its template alone has \d+ tokens, max_tokens is 8"):
        bind_policy(Generated(meta="m.yaml", max_tokens=8).located(tmp_path), binding(bpe, [text("a")], writer()))


def test_killed_and_resumed(tmp_path, bpe):
    """kill -9 while prompts are being written, then bound again: only what was not delivered is asked."""
    log, store = tmp_path / "log", tmp_path / "s"
    code = (
        "import sys; from pathlib import Path; from tests.contexts.test_generated import *\n"
        "class T:\n    encode = staticmethod(lambda text, add_special_tokens: list(text.encode()))\n"
        "engine = Fake(lambda r: 'Look.', delay=0.004, log=Path(sys.argv[1]))\n"
        "engine._say = lambda w, r: Path(sys.argv[1]).open('a').write(f'{w} {about(r)}\\n')\n"
        "records = [text(f'r{i}', f'r{i}') for i in range(200)]\n"
        "Generated().bind(binding(T, records, engine, Path(sys.argv[2])))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, log, store], cwd=ROOT, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(words(log, "delivered")) < 40 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL, process.communicate()
    process.communicate()
    delivered, engine = {*words(log, "delivered")}, writer()
    records = [text(f"r{i}", f"r{i}") for i in range(200)]
    context = Generated().bind(binding(bpe, records, engine, store))
    assert 40 <= len(delivered) < 200
    assert not delivered & {*map(about, engine.asked)}
    assert 200 - len(delivered) - len(engine.asked) in (0, 1)
    found = [context.draw(r, DrawKey(0, 0)).segments[0].text for r in records]
    assert found.count("Look. ") == 200 - len(engine.asked)


def test_with_a_model(bpe, tiny, tokenizer):
    """The real engine in place of the fake one."""
    from transformers import AutoModelForCausalLM

    from contextune.generation.local import LocalEngine

    engine = LocalEngine(AutoModelForCausalLM.from_pretrained(tiny), tokenizer)
    records = [text("a", "w1 w2 w3"), text("b", "w4 w5 w6 w7")]
    context = Generated(max_tokens=12).bind(binding(tokenizer, records, engine))
    for record in records:
        drawn = context.draw(record, DrawKey(0, 0))
        assert 0 < len(encode(drawn.segments[0].text, tokenizer)) <= 12
        assert drawn.provenance["engine"] == engine.identity


def test_prompts_and_generated_share_no_state(bpe):
    """Binding one policy leaves the draws of another as they were."""
    before = Prompts().bind(binding(bpe, [])).draw(text("a"), DrawKey(0, 0))
    Generated().bind(binding(bpe, [text("a")], writer()))
    assert Prompts().bind(binding(bpe, [])).draw(text("a"), DrawKey(0, 0)) == before
