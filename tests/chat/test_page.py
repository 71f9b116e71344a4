"""The page on this machine: what it serves, and to whom."""

from __future__ import annotations

import http.client
import json
from threading import Thread

import pytest

from contextune.chat.contexts import Library
from contextune.chat.conversation import Conversation, Part
from contextune.chat.server import LARGEST, Page
from contextune.chat.speakers import Speaker
from contextune.models.options import Model

NAMES = ("plain", "</script>'\"&")


@pytest.fixture
def page(monkeypatch):
    def answer(self, speaker, question, read):
        yield Part("text", speaker.name, "é")
        yield Part("end", speaker.name, "")

    monkeypatch.setattr(Conversation, "_answer", answer)
    server = Page(Conversation([Speaker(n, n, Model(path=n)) for n in NAMES]))
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def request(page, method, path, body=None, **headers):
    asked = http.client.HTTPConnection("127.0.0.1", page.server_address[1], timeout=10)
    asked.request(method, path, body, headers)
    answer = asked.getresponse()
    return answer.status, answer.read().decode()


def test_the_page_holds_the_token_and_no_address(page):
    status, html = request(page, "GET", "/")
    assert status == 200
    assert page.token in html
    assert "connect-src &#39;self&#39;" in html
    assert "http://" not in html
    assert "https://" not in html
    assert "</script>'" not in html.split("<main")[1].split("</main>")[0]


def test_a_question_is_answered_line_by_line(page):
    body = json.dumps({"question": "Who?", "context": "Kalo."})
    status, text = request(page, "POST", "/ask", body, **{"X-Token": page.token})
    lines = [json.loads(line) for line in text.splitlines()]
    assert status == 200
    assert [(p["kind"], p["speaker"]) for p in lines] == [(k, n) for n in NAMES for k in ("context", "text", "end")]
    assert (lines[0]["text"], lines[1]["text"]) == ("Kalo.", "é")
    only = json.dumps({"question": "Who?", "only": ["plain"]})
    assert len(request(page, "POST", "/ask", only, **{"X-Token": page.token})[1].splitlines()) == 3


def test_passages_are_retrieved_where_the_page_asks_for_them(page, tmp_path):
    (tmp_path / "a.txt").write_text("The heron waits for fish.")
    page.conversation.library = Library([str(tmp_path)])
    for retrieve, seen in ((True, "The heron waits for fish."), (False, "")):
        body = json.dumps({"question": "What does a heron do?", "retrieve": retrieve})
        _, text = request(page, "POST", "/ask", body, **{"X-Token": page.token})
        assert json.loads(text.splitlines()[0])["text"] == seen


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("{", 400, "no JSON"),
        ("[" * 100_000, 400, "no JSON"),
        ('{"question": "\\ud800"}', 400, "no JSON"),
        ("[1]", 400, "the question is empty"),
        ('{"question": " "}', 400, "the question is empty"),
        ('{"question": 3}', 400, "expected {question"),
        ('{"question": "a", "only": "b"}', 400, "expected {question"),
    ],
)
def test_bad_requests(page, body, status, reason):
    found, text = request(page, "POST", "/ask", body, **{"X-Token": page.token})
    assert found == status
    assert reason in text


def test_strangers_are_refused(page):
    body = json.dumps({"question": "Who?"})
    assert request(page, "POST", "/ask", body)[0] == 403
    assert request(page, "POST", "/ask", body, **{"X-Token": "guess"})[0] == 403
    assert request(page, "POST", "/ask", body, **{"X-Token": "\xe9"})[0] == 403
    assert request(page, "GET", "/", Host="elsewhere.example:80")[0] == 403
    assert request(page, "POST", "/ask", body, Host="elsewhere.example", **{"X-Token": page.token})[0] == 403
    assert request(page, "GET", "/etc/passwd")[0] == 404
    assert request(page, "POST", "/other", body, **{"X-Token": page.token})[0] == 404
    large = {"X-Token": page.token, "Content-Length": str(LARGEST + 1)}
    assert request(page, "POST", "/ask", "", **large)[0] == 400
