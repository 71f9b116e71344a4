"""A bridge to lm-evaluation-harness: our tasks as its tasks, and its own scoring of a loaded model."""

from __future__ import annotations

import contextlib
import json
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.core.errors import UserError
from contextune.core.files import write_text
from contextune.core.items import Item, Task
from contextune.core.ownership import claim, name_part

from .. import metrics

if TYPE_CHECKING:
    from contextune.core.sequence import Tokenizer

OUTPUT = {"choice": "multiple_choice", "generate": "generate_until", "perplexity": "loglikelihood_rolling"}
OWN = {"accuracy": "acc", "accuracy_byte": "acc_bytes"}
"""Metrics of choices that the harness has itself."""


class _Function(str):
    """In the harness's YAML: a function of the file beside it."""


UTILS = '''"""Reads items.jsonl beside this file; metrics that the harness lacks are computed by contextune."""

import json
import shlex
from pathlib import Path


def load(**_):
    from datasets import Dataset

    lines = Path(__file__).with_name("items.jsonl").read_text(encoding="utf-8").splitlines()
    return {"test": Dataset.from_list([json.loads(line) for line in lines])}


def process_results(doc, results):
    from contextune.evaluate.scoring.harness import process

    return process(doc, results)


def aggregate(found):
    from contextune.evaluate.scoring.harness import aggregate

    return aggregate(found)
'''


def export_task(task: Task, folder: Path) -> Path:
    """Write a task for `lm-eval run`, prompts rendered, in a folder of its own; the YAML begins with the command.

    Raises UserError for perplexity after a prompt, which the harness does not have.
    """
    _system(task)
    if task.kind == "perplexity" and any(i.prompt for i in task.items):
        raise UserError(f"task {task.name}: the harness scores texts without a prompt only", "leave the prompts out")
    home = folder / name_part(task.name, "a task's name")
    claim(home, "harness", "folder", "give another folder", earlier=_exported, keep=False)
    rows = [json.dumps(_row(task, item), ensure_ascii=False) for item in task.items]
    write_text(home / "items.jsonl", "\n".join(rows) + "\n")
    write_text(home / "utils.py", UTILS)
    file = home / f"{task.name}.yaml"
    write_text(file, f"# {command(task, folder)}\n{_yaml(_config(task))}")
    return file


def _exported(home: Path) -> bool:
    """Whether a folder holds an exported task."""
    utils = home / "utils.py"
    return utils.is_file() and utils.read_bytes() == UTILS.encode()


def command(task: Task, folder: Path, model: str = "MODEL") -> str:
    """What to type to have the harness score an exported task."""
    where, system = shlex.quote(str(folder.resolve())), _system(task)
    said = f" --system_instruction {shlex.quote(system)}" if system else ""
    chat = f" --apply_chat_template{said}" if task.chat else ""
    model += ",enable_thinking=False" if task.chat else ""  # as ours are asked
    return f"lm-eval run --model hf --model_args pretrained={model} --tasks {task.name} --include_path {where}{chat}"


def _system(task: Task) -> str:
    """The system turn of a chat task. UserError for what the harness, which has one for all items, cannot ask."""
    before = {item.turns for item in task.items} if task.chat else set()
    turns = next(iter(before), ())
    if len(before) > 1 or [role for role, _ in turns] not in ([], ["system"]):
        raise UserError(
            f"task {task.name}: solved examples as turns of a chat cannot be exported", "set chat: {fewshot: prompt}"
        )
    return turns[0][1] if turns else ""


def harness_scores(model: Any, tokenizer: Tokenizer, tasks: Seq[Task], batch_size: int = 8) -> dict[str, Any]:
    """What lm_eval.simple_evaluate says of a loaded model, with its `results` and `samples` by task.

    All are asked through the chat template, with one system turn, or none is; else UserError.
    """
    try:
        import lm_eval
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise UserError("lm-evaluation-harness is not installed", "pip install 'contextune[harness]'") from None
    ways = {(task.chat, _system(task)) for task in tasks}
    if len(ways) > 1:
        raise UserError("tasks that are asked in different ways need calls of their own", "one call for each way")
    chat, system = next(iter(ways), (False, ""))
    with tempfile.TemporaryDirectory() as folder, _same_random_state():
        for task in tasks:
            export_task(task, Path(folder))
        found: dict[str, Any] = lm_eval.simple_evaluate(
            HFLM(
                pretrained=model,
                tokenizer=tokenizer,
                batch_size=batch_size,
                enable_thinking=False if chat else None,
            ),
            tasks=[task.name for task in tasks],
            task_manager=TaskManager(include_path=folder, include_defaults=False),
            bootstrap_iters=0,
            apply_chat_template=chat,
            system_instruction=system or None,
        )
    return found


@contextlib.contextmanager
def _same_random_state() -> Iterator[None]:
    """The harness seeds every generator there is."""
    import random

    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _row(task: Task, item: Item) -> dict[str, Any]:
    cut = len(_delimiter(task))
    options = [o[cut:] for o in item.options] if task.kind == "choice" else list(item.options)
    return {"id": item.id, "prompt": item.prompt, "options": options, "answer": item.answer, "metric": task.metric}


def _delimiter(task: Task) -> str:
    """A space before all options is the harness's delimiter, which its lengths leave out, as ours do."""
    return " " if all(o[:1] == " " for i in task.items for o in i.options) else ""


def _config(task: Task) -> dict[str, Any]:
    config: dict[str, Any] = {
        "task": task.name,
        "custom_dataset": _Function("utils.load"),
        "output_type": OUTPUT[task.kind],
        "test_split": "test",
        "doc_to_text": "" if task.kind == "perplexity" else "prompt",
        "doc_to_target": "answer",
        "num_fewshot": 0,
    }
    if task.kind == "perplexity":
        names = ("bits_per_byte", "byte_perplexity", "word_perplexity")
        return config | {"metric_list": [{"metric": m} for m in names]}
    if task.kind == "choice":
        config |= {"doc_to_choice": "options", "target_delimiter": _delimiter(task)}
    else:
        config["generation_kwargs"] = {"until": list(task.stop), "max_gen_toks": task.max_tokens, "do_sample": False}
    if task.kind == "choice" and task.metric in OWN:
        return config | {"metric_list": [{"metric": m, "higher_is_better": True} for m in OWN.values()]}
    better = metrics.find(task.metric).higher_is_better
    own = {"metric": task.metric, "aggregation": _Function("utils.aggregate"), "higher_is_better": better}
    return config | {"process_results": _Function("utils.process_results"), "metric_list": [own]}


def _yaml(config: Mapping[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    Dumper.add_representer(_Function, lambda dumper, name: dumper.represent_scalar("!function", name))
    return str(yaml.dump(dict(config), Dumper=Dumper, sort_keys=False, allow_unicode=True))


def process(doc: Mapping[str, Any], results: Seq[Any]) -> dict[str, Any]:
    """One item's outcome in the columns of ours that metrics read, for `aggregate`."""
    row: dict[str, Any] = {"item": doc["id"], "options": doc["options"], "sums": [], "tokens": [], "bytes": []}
    if isinstance(doc["answer"], int):
        sums = [value for value, _ in results]
        row |= {"kind": "choice", "gold": doc["options"][doc["answer"]], "output": None, "sums": sums}
        row |= {"tokens": [1] * len(sums), "bytes": [len(o.encode()) for o in doc["options"]]}
    else:
        row |= {"kind": "generate", "gold": doc["answer"], "output": results[0]}
    return {doc["metric"]: {**row, "metric": doc["metric"]}}


def aggregate(found: Seq[Mapping[str, Any]]) -> float:
    """The metric of all items."""
    columns = {key: [row[key] for row in found] for key in found[0]}
    return metrics.evaluate(columns, found[0]["metric"])
