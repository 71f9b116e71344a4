"""Weights that leave a run: the logits, the tokenizer, the card, and what cannot be exported."""

from __future__ import annotations

import json

import pytest
import torch

from .folder import command, make

IDS = torch.tensor([[1, 8, 9, 40, 77, 12, 3]])


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


@pytest.mark.parametrize("kind", ["lora", "dora", None])
def test_exported_weights_have_the_arms_logits(tmp_path, tiny, kind):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run, out = make(tmp_path / "run", tiny, kind), tmp_path / "out"
    assert command("export", str(run), "--arm", "tuned", "--out", str(out)) == 0
    own = run / "arms/tuned/seed-1/stage-0/model"
    base = AutoModelForCausalLM.from_pretrained(tiny)
    plain = logits(base)
    expected = logits(PeftModel.from_pretrained(base, own) if kind else AutoModelForCausalLM.from_pretrained(own))
    exported = AutoModelForCausalLM.from_pretrained(out, use_safetensors=True)
    assert (logits(exported) - expected).abs().max() < 1e-3
    assert (expected - plain).abs().max() > 1e-2
    assert not (out / "adapter_config.json").exists()
    read = AutoTokenizer.from_pretrained(out)
    assert read.chat_template == AutoTokenizer.from_pretrained(tiny).chat_template
    assert read("w0 w5")["input_ids"] == [1, 8, 13]


def test_the_card_says_the_verdict_before_the_limits_and_is_as_long_when_written_again(tmp_path, tiny):
    run, out = make(tmp_path / "run", tiny), tmp_path / "out"
    cards = []
    for arm in ("tuned", "tuned"):
        assert command("export", str(run), "--arm", arm, "--out", str(out)) == 0
        cards.append((out / "README.md").read_text())
    assert cards[0] == cards[1]
    text = cards[0]
    for said in (
        "tuned is ahead of untrained by 25.0 points.",
        "Score of this arm: 0.7500 (0.7000 to 0.8000)",
        "Difference from the baseline untrained: +0.2500 (0.2000 to 0.3000)",
        "too few seeds",
        "The adapter (lora) is merged into these weights. Weights are safetensors in float32.",
    ):
        assert said in text
    assert text.index("## Verdict of the run") < text.index("## Limits") < text.index("## Use")
    assert text.count("written by contextune") == 1


def test_an_arm_that_asks_anothers_models_is_exported_as_that(tmp_path, tiny, capsys):
    run = make(tmp_path / "run", tiny)
    out = tmp_path / "out"
    assert (
        command(
            "export", str(run), "--arm", "reads", "--to", "gguf", "--dtype", "bfloat16", "--out", str(out), "--json"
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert 1e-5 < found["difference"] < 0.1
    assert found["next"] == [f"python convert_hf_to_gguf.py {out} --outfile {out}/hand-reads.gguf --outtype bf16"]
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"


CONVERTER = """\
import sys, pathlib
out = sys.argv[sys.argv.index("--outfile") + 1]
if "fail" in out: sys.exit("Model ThatForCausalLM is not supported")
pathlib.Path(out).write_text(" ".join(sys.argv[1:2] + sys.argv[-2:]))
"""


def test_gguf_is_written_by_llama_cpps_converter_where_it_is(tmp_path, tiny, monkeypatch, capsys):
    (tmp_path / "convert_hf_to_gguf.py").write_text(CONVERTER)
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path))
    run, out = make(tmp_path / "run", tiny), tmp_path / "out"
    assert command("export", str(run), "--arm", "tuned", "--to", "gguf", "--out", str(out)) == 0
    assert (out / "hand-tuned.gguf").read_text() == f"{out} --outtype f32"
    assert command("export", str(run), "--arm", "tuned", "--to", "gguf", "--out", str(tmp_path / "fail")) == 2
    assert "Model ThatForCausalLM is not supported" in capsys.readouterr().err
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path / "none"))
    assert command("export", str(run), "--arm", "tuned", "--to", "gguf", "--out", str(out)) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--arm", "tune"], "--arm tune: no arm of that name in run"),
        (["run", "--arm", "untrained"], "--arm untrained: it is untrained"),
        (["run", "--arm", "tuned", "--seed", "0"], "the weights of arm tuned are not there"),
        (["run", "--arm", "tuned", "--seed", "7"], "--seed 7"),
        (["run", "--arm", "tuned", "--to", "onnx"], "--to: unknown form 'onnx'"),
        (["run", "--arm", "tuned", "--to", "vertex"], "run: a folder; --to vertex takes an arm's rows from a recipe"),
        (["run", "--arm", "tuned", "--dtype", "int4"], "--dtype int4"),
        (["run", "--arm", "tuned", "--draws", "3"], "--draws has no meaning with --to merged"),
        (["run", "--arm", "tuned", "--push", "name"], "--push 'name': not a name on the hub"),
        (["run/recipe.yaml", "--arm", "tuned"], "run/recipe.yaml: a file"),
        (["run/recipe.yaml", "--arm", "tuned", "--to", "tinker", "--push", "a/b"], "--push has no meaning"),
        (["nowhere", "--arm", "tuned"], "nowhere: no such folder"),
        (["arms", "--arm", "tuned"], "arms: not a run's folder"),
    ],
)
def test_arms_that_cannot_be_exported(finished, monkeypatch, capsys, words, said):
    monkeypatch.chdir(finished)
    assert command("export", *words, "--out", "out") == 2
    assert said in capsys.readouterr().err
    assert not list(finished.glob("out/*.safetensors"))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("model/adapter_model.safetensors", None, "damaged or gone: model/adapter_model.safetensors"),
        ("model/tokenizer_config.json", b"{}", "damaged or gone: model/tokenizer_config.json"),
        ("whole.json", b"{}", "whole.json"),
        ("model/README.md", None, "README.md: gone"),
        ("model/README.md", b"\xff", "README.md: not UTF-8"),
    ],
)
def test_a_damaged_arm_is_refused_before_anything_is_written(finished, tmp_path, capsys, file, content, said):
    path = finished / "run/arms/tuned/seed-1/stage-0" / file
    old = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    try:
        assert command("export", str(finished / "run"), "--arm", "tuned", "--out", str(tmp_path / "out")) == 2
    finally:
        path.write_bytes(old)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "results",
    [
        "[]",
        '{"verdict": {}, "arms": {}}',
        '{"verdict": {"sentence": "x"}, "arms": {"tuned": 3}}',
        '{"verdict": {"sentence": "x"}, "arms": {"tuned": {"score": "a"}}}',
        '{"verdict": {"sentence": "x"}, "arms": {"tuned": {"score": 1, "interval": [0]}}}',
    ],
)
def test_results_that_are_none(finished, tmp_path, capsys, results):
    file = finished / "run/results.json"
    old = file.read_text()
    file.write_text(results)
    try:
        assert command("export", str(finished / "run"), "--arm", "tuned", "--out", str(tmp_path / "out")) == 2
    finally:
        file.write_text(old)
    assert "results.json: not the results of a run" in capsys.readouterr().err


def test_the_ollama_command_is_quoted_for_a_shell(finished, tmp_path, capsys):
    out = tmp_path / "mine, all"
    assert command("export", str(finished / "run"), "--arm", "tuned", "--to", "ollama", "--out", str(out)) == 0
    assert f"ollama create hand-tuned -f '{out}/Modelfile'" in capsys.readouterr().out


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny):
    folder = tmp_path_factory.mktemp("finished")
    (folder / "arms").mkdir()
    make(folder / "run", tiny)
    return folder


def test_a_folder_of_others_is_not_written_into(finished, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert command("export", str(finished / "run"), "--arm", "tuned", "--out", str(tmp_path)) == 2
    assert "holds files" in capsys.readouterr().err


def test_weights_that_changed_by_merging_are_refused(finished, tmp_path, monkeypatch, capsys):
    from peft import PeftModel

    monkeypatch.setattr(PeftModel, "merge_and_unload", lambda self, **_: self.unload(), raising=False)
    assert command("export", str(finished / "run"), "--arm", "tuned", "--out", str(tmp_path / "out")) == 2
    assert "the logits of the merged weights differ from the adapter's by" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_pushing(finished, tmp_path, monkeypatch, capsys):
    import huggingface_hub

    calls = []

    class Hub:
        def create_repo(self, name, **options):
            calls.append((name, options))

        def upload_folder(self, **options):
            calls.append(options)

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    out = tmp_path / "out"
    assert command("export", str(finished / "run"), "--arm", "tuned", "--out", str(out), "--push", "me/it") == 0
    assert "https://huggingface.co/me/it" in capsys.readouterr().out
    assert calls[0] == ("me/it", {"private": True, "exist_ok": True})
    assert calls[1] == {"repo_id": "me/it", "folder_path": out, "ignore_patterns": [".contextune-*"]}
