"""lm-evaluation-harness and we say the same of the same model and items, and render the same prompts."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.evaluate.scoring import harness
from contextune.evaluate.scoring.score import score
from contextune.evaluate.tasks.load import load_task
from tests.conftest import SHARED, needs_shared
from tests.evaluate.conftest import llama

HERE = Path()
OPTIONS = [
    ["the third arch", "the anatomy", "naïve café", "東京"],  # after a prompt that ends in spaces
    [" one is", " one of", " of", " A"],
    ["A B", " C", "naive", "the"],  # after nothing
    ["\nyes", "\nno", " no", "no"],
]
PROMPTS = ["The hyoid bone arises from ", "Which", "", "noise  \n "]
INLINE = {
    "name": "made_up",
    "rows": [{"q": q * (1 + 40 * (i // 4)), "o": OPTIONS[i % 4], "a": i % 4} for i, q in enumerate(PROMPTS * 2)],
    "prompt": "{{ q }}",
    "options": "{{ o }}",
    "answer": "{{ a }}",
    "metric": "accuracy_byte",
}
LABELS = {
    "name": "labels",
    "kind": "generate",
    "rows": [{"q": "The hyoid bone", "a": "e"}, {"q": "Which one \n is", "a": "A"}, {"q": "A B", "a": "e"}],
    "prompt": "{{ q }}",
    "options": ["A", "e"],
    "answer": "{{ a }}",
    "metric": "weighted_f1",
    "stop": [],
}
TEXTS = [Item(str(n), "", "The hyoid bone arises from the anatomy. " * n) for n in (1, 7, 60)]


def tasks() -> list[Task]:
    found = [t for spec in (INLINE, LABELS) for t in load_task(spec, HERE)]
    found.append(Task("letters", "choice", load_task(INLINE, HERE)[0].items[4:6], "macro_f1"))
    if SHARED.is_dir():
        found += load_task({"task": "mmlu_medical", "path": str(SHARED / "mmlu_medical")}, HERE, limit=8)
        found += load_task({"task": "medqa", "path": str(SHARED / "medqa_usmle_4opt" / "test.jsonl")}, HERE, limit=40)
        shots = {"n": 2}
        spec = {"task": "mmlu_anatomy", "path": str(SHARED / "mmlu_medical"), "fewshot": shots, "name": "anatomy_shots"}
        found += load_task(spec, HERE, limit=40)
    return found


@pytest.fixture(scope="module", params=["byte_level", "metaspace"])
def both(request):
    """Our outcomes and the harness's samples and results, of a model that has to cut the longest prompts."""
    pytest.importorskip("lm_eval")
    tokenizer = request.getfixturevalue(request.param)
    model = llama(len(tokenizer), window=600)
    asked = tasks() + (
        [Task("texts", "perplexity", tuple(TEXTS), "bits_per_byte")] if request.param == "byte_level" else []
    )
    return asked, score(model, tokenizer, asked, arm="a", seed=0), harness.harness_scores(model, tokenizer, asked)


def pairs(both, kind):
    asked, ours, theirs = both
    for task in asked:
        if task.kind == kind:
            samples = sorted(theirs["samples"][task.name], key=lambda s: s["doc_id"])
            yield task, ours[task.name].to_pydict(), samples, theirs["results"][task.name]


def test_the_same_log_likelihoods_and_accuracies(both):
    for task, ours, samples, result in pairs(both, "choice"):
        assert len(samples) == len(task.items)
        for sums, sample in zip(ours["sums"], samples, strict=True):
            assert sums == pytest.approx([float(r[0][0]) for r in sample["resps"]], abs=1e-4)
        name = {"accuracy": "acc", "accuracy_byte": "acc_bytes", "macro_f1": "macro_f1"}[task.metric]
        from contextune.evaluate import metrics

        assert result[f"{name},none"] == pytest.approx(metrics.evaluate(ours, task.metric))


def test_the_same_texts_and_f1(both):
    from contextune.evaluate import metrics

    for task, ours, samples, result in pairs(both, "generate"):
        assert ours["output"] == [s["resps"][0][0] for s in samples]
        assert result[f"{task.metric},none"] == pytest.approx(metrics.evaluate(ours, task.metric))


def test_the_same_rolling_log_likelihood(both):
    from contextune.evaluate import metrics

    for task, ours, samples, result in pairs(both, "perplexity"):
        theirs = [float(s["resps"][0][0]) for s in samples]
        assert [s[0] for s in ours["sums"]] == pytest.approx(theirs, rel=1e-6, abs=1e-4)
        assert result["bits_per_byte,none"] == pytest.approx(metrics.evaluate(ours, task.metric))


def test_a_bos_added_by_the_tokenizer_is_not_scored(metaspace):
    """Where the tokenizer adds one, the harness agrees once it is told not to predict it."""
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from contextune.evaluate.scoring.perplexity import score_texts

    model = llama(len(metaspace), window=64)
    lm = HFLM(pretrained=model, tokenizer=metaspace, add_bos_token=False, batch_size=4)
    asked = [Instance("loglikelihood_rolling", {}, (item.gold,), 0) for item in TEXTS]
    assert [f.sum for f in score_texts(model, metaspace, TEXTS)] == pytest.approx(
        lm.loglikelihood_rolling(asked, disable_tqdm=True), abs=1e-3
    )


def config_of(path: str) -> dict:
    """A task of the harness as it is installed, without its functions."""
    import lm_eval
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: None)
    file = Path(lm_eval.__file__).parent / "tasks" / path
    found = yaml.load(file.read_text(), Loader)
    base = found.pop("include", None)
    return (config_of(str(Path(path).parent / base)) if base else {}) | found


@needs_shared
@pytest.mark.parametrize("subject", ["anatomy", "clinical_knowledge", "medical_genetics"])
@pytest.mark.parametrize("shots", [0, 3])
def test_mmlu_prompts_are_the_harnesses_own(subject, shots):
    pytest.importorskip("lm_eval")
    from lm_eval.utils import apply_template

    config = config_of(f"mmlu/default/mmlu_{subject}.yaml")
    assert (config["fewshot_split"], config["fewshot_config"]) == ("dev", {"sampler": "first_n"})
    rows = {s: _rows(SHARED / "mmlu_medical" / s / f"{subject}_{s}.csv") for s in ("dev", "test")}
    solved = "".join(
        f"{apply_template(config['doc_to_text'], r)} {config['doc_to_choice'][r['answer']]}\n\n"
        for r in rows["dev"][:shots]
    )
    expected = [config["description"] + solved + apply_template(config["doc_to_text"], r) for r in rows["test"]]
    spec = {"task": f"mmlu_{subject}", "path": str(SHARED / "mmlu_medical"), "fewshot": {"n": shots}}
    (task,) = load_task(spec, HERE)
    assert [i.prompt for i in task.items] == expected
    assert [i.answer for i in task.items] == [r["answer"] for r in rows["test"]]
    assert task.items[0].options == tuple(f" {c}" for c in config["doc_to_choice"])


def _rows(file: Path) -> list[dict]:
    import csv

    with file.open(newline="", encoding="utf-8") as f:
        return [
            {"question": r["question"], "choices": [r[f"choice{k}"] for k in range(4)], "answer": int(r["answer"])}
            for r in csv.DictReader(f)
        ]


@needs_shared
def test_medqa_prompts_are_the_harnesses_own():
    pytest.importorskip("lm_eval")
    from lm_eval.tasks.medqa import preprocess_medqa

    file = SHARED / "medqa_usmle_4opt" / "test.jsonl"
    (task,) = load_task({"task": "medqa", "path": str(file)}, HERE)
    for item, line in zip(task.items, file.read_text().splitlines(), strict=True):
        row = json.loads(line)
        ending = {f"ending{k}": row["options"]["ABCD"[k]] for k in range(4)}
        assert item.prompt == preprocess_medqa.doc_to_text({"sent1": row["question"], **ending})
        assert item.answer == "ABCD".index(row["answer_idx"])


def test_an_exported_task_says_how_to_run_it(tmp_path):
    (task,) = load_task(LABELS, HERE)
    file = harness.export_task(task, tmp_path)
    lines = file.read_text().splitlines()
    assert file == tmp_path / "labels" / "labels.yaml"
    assert lines[0] == (
        f"# lm-eval run --model hf --model_args pretrained=MODEL --tasks labels --include_path {tmp_path}"
    )
    assert {p.name for p in file.parent.iterdir()} == {"labels.yaml", "utils.py", "items.jsonl"}
    rows = [json.loads(line) for line in (file.parent / "items.jsonl").read_text().splitlines()]
    assert rows[0] == {
        "id": "0",
        "prompt": "The hyoid bone",
        "options": ["A", "e"],
        "answer": "e",
        "metric": "weighted_f1",
    }


def test_perplexity_after_a_prompt_cannot_be_exported(tmp_path):
    task = Task("t", "perplexity", (Item("0", "before", "after"),), "perplexity")
    with pytest.raises(UserError, match="without a prompt only"):
        harness.export_task(task, tmp_path)


SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou "
    "are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + "
    "message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""As SmolLM2-135M-Instruct has it."""


@pytest.mark.parametrize("system", ["", "Answer in a word."])
def test_the_same_log_likelihoods_through_a_chat_template(byte_level, system):
    """As with --apply_chat_template and --system_instruction, to 1e-4."""
    pytest.importorskip("lm_eval")
    tokenizer = copy.deepcopy(byte_level)
    tokenizer.chat_template = SMOLLM2
    rows = [{"q": q, "o": o, "a": 1} for q, o in zip(PROMPTS[:2], OPTIONS[:2], strict=True)]
    spec = {**INLINE, "rows": rows, "metric": "accuracy", "chat": {"system": system} if system else True}
    asked = load_task(spec, HERE, tokenizer=tokenizer)
    model = llama(len(tokenizer), window=600)
    ours = score(model, tokenizer, asked, arm="a", seed=0)["made_up"].to_pydict()
    theirs = harness.harness_scores(model, tokenizer, asked)
    samples = sorted(theirs["samples"]["made_up"], key=lambda s: s["doc_id"])
    assert len(samples) == len(rows)
    for sums, sample in zip(ours["sums"], samples, strict=True):
        assert sums == pytest.approx([float(r[0][0]) for r in sample["resps"]], abs=1e-4)
    plain = score(model, tokenizer, load_task({**spec, "chat": False}, HERE), arm="a", seed=0)["made_up"].to_pydict()
    assert plain["sums"][0] != pytest.approx(ours["sums"][0], abs=1e-2), "the template is read"
