from example_plugin.template_engine import LastLine

from contextune.generation import Failure, Request, Store, ask


def test_last_line(tmp_path):
    with Store(tmp_path / "store.sqlite") as store:
        assert ask(LastLine(), [Request("first\nsecond")], store) == ["second"]
    assert list(LastLine().complete([Request(" ")])) == [(0, Failure("the prompt is empty"))]
