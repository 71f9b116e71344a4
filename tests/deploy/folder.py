"""A finished run written by hand: an untrained arm, one with an adapter, one that asks the adapter's models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextune.cli import main
from contextune.core.files import checksums, files_in, seal, signed

RECIPE = """\
name: hand
model: {{path: {tiny}}}
data:
  notes: {{path: notes.txt}}
arms:
  untrained: {{stages: []}}
  tuned:
    stages: [{{data: notes}}]
  reads: {{weights_of: tuned}}
seeds: [0, 1]
train: {{epochs: 1, batch: 2, lr: 0.001{adapter}}}
compare: {{baseline: untrained}}
"""


def command(*words: object) -> int:
    """The exit status of the command line."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


CARD = "---\nlibrary_name: transformers\n---\n\n# hand: tuned, seed 0\n\n## Limits\n\nTested on notes alone.\n"


def make(folder: Path, tiny: Path, kind: str | None = "lora") -> Path:
    """`kind`: lora, dora, or None for all weights; those of an adapter are random, so that it matters."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    stage = folder / "arms" / "tuned" / "seed-1" / "stage-0"
    stage.mkdir(parents=True)
    adapter = f", adapter: {{kind: {kind}, rank: 4, alpha: 8}}" if kind else ""
    (folder / "recipe.yaml").write_text(RECIPE.format(tiny=tiny, adapter=adapter))
    model = AutoModelForCausalLM.from_pretrained(tiny)
    torch.manual_seed(1)
    if kind:
        config = LoraConfig(
            r=4, lora_alpha=8, target_modules="all-linear", use_dora=kind == "dora", task_type="CAUSAL_LM"
        )
        model = get_peft_model(model, config)
    for name, weight in model.named_parameters():
        if not kind or "lora_B" in name or "magnitude" in name:
            weight.data += 0.05 * torch.randn_like(weight)
    model.save_pretrained(stage / "model")
    AutoTokenizer.from_pretrained(tiny).save_pretrained(stage / "model")
    (stage / "model" / "README.md").write_text(signed(CARD, "<!-- {} -->"))
    (stage / "stage.json").write_text("{}")
    seal(
        stage, checksums(stage, ["stage.json", *(f"model/{n}" for n in files_in(stage / "model") if n != "README.md")])
    )
    arm = {"score": 0.75, "interval": [0.7, 0.8], "difference": {"value": 0.25, "interval": [0.2, 0.3]}}
    verdict = {"sentence": "tuned is ahead of untrained by 25.0 points.", "winner": "tuned", "baseline": "untrained"}
    results = {"schema": 1, "verdict": {**verdict, "enough_seeds": False}, "arms": {"tuned": arm}}
    (folder / "results.json").write_text(json.dumps(results))
    return folder
