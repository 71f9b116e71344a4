from pathlib import Path

from contextune.contexts import parse

SET = Path(__file__).parent / "example_plugin" / "curious.yaml"


def test_curious(tokenizer):
    prompts = parse({"policy": "prompts", "set": str(SET)}).prompts()
    assert [prompts.render(p) for p in prompts.prompts] == [
        "Cause: Ask why each thing happens. ",
        "People: Ask who does each thing. ",
    ]
