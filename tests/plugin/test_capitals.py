import example_plugin.capitals  # noqa: F401  importing it registers the task

from contextune.evaluate.tasks.load import load_task


def test_capitals(tmp_path, tokenizer):
    (task,) = load_task("capitals", tmp_path)
    assert [item.prompt + item.gold for item in task.items][:2] == [
        "The capital of France is Paris",
        "The capital of Italy is Rome",
    ]
    (cut,) = load_task({"task": "capitals", "limit": 1, "name": "mine"}, tmp_path)
    assert (cut.name, len(cut.items)) == ("mine", 1)
