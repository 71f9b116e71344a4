"""Regular expressions in recipes and in adapters' configurations name layers, and end."""

from __future__ import annotations

import json
import time

import pytest

from contextune import models
from contextune.core.errors import UserError
from contextune.models.adapters import load_adapted

ENDLESS = r"([a-z]|[a-z_.0-9]{1,2}|[^A-Z])+[A-Z]"


def test_targets_by_a_pattern(tiny):
    adapted = models.adapt(models.load_model(str(tiny)), models.Adapter(targets=r".*\.self_attn\.[qv]_proj", rank=2))
    trained = {
        n.split(".lora_")[0].removeprefix("base_model.model.") for n, p in adapted.named_parameters() if p.requires_grad
    }
    assert trained == {f"model.layers.{i}.self_attn.{p}_proj" for i in (0, 1) for p in "qv"}


@pytest.mark.parametrize(
    ("targets", "message"), [("(", "is not a regular"), ("nope", "fits no layer"), (ENDLESS, "takes more")]
)
def test_bad_patterns(tiny, targets, message):
    began = time.process_time()
    with pytest.raises(UserError, match=f"train.adapter.targets: .*{message}") as e:
        models.check_adapter(models.Adapter(targets=targets), models.skeleton(str(tiny)))
    assert time.process_time() - began < 4
    assert e.value.hint


@pytest.mark.parametrize("key", ["target_modules", "exclude_modules", "rank_pattern", "layers_pattern"])
def test_patterns_of_an_adapter(tiny, tmp_path, key):
    adapted = models.adapt(models.load_model(str(tiny)), models.Adapter(targets=r".*\.[qv]_proj", rank=2))
    adapted.save_pretrained(tmp_path)
    file = tmp_path / "adapter_config.json"
    config = json.loads(file.read_text()) | {
        "base_model_name_or_path": str(tiny),
        "layers_to_transform": [0] if key == "layers_pattern" else None,
    }
    file.write_text(json.dumps(config | {"target_modules": r".*\.[qv]_proj"}))
    if key != "layers_pattern":
        assert load_adapted(str(tmp_path), trainable=False) is not None
    file.write_text(
        json.dumps(
            config | {key: {ENDLESS: 4} if key == "rank_pattern" else [ENDLESS] if key == "layers_pattern" else ENDLESS}
        )
    )
    began = time.process_time()
    with pytest.raises(UserError, match=f"adapter_config.json: {key}") as e:
        load_adapted(str(tmp_path), trainable=False)
    assert time.process_time() - began < 4
    assert e.value.hint


@pytest.mark.parametrize(
    "change", [{"num_hidden_layers": 10**9}, {"num_attention_heads": 10**9}, {"num_hidden_layers": 10**400}]
)
def test_counts_beyond_the_weights(tiny, tmp_path, change):
    import shutil

    shutil.copytree(tiny, tmp_path / "m")
    file = tmp_path / "m/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    began = time.process_time()
    with pytest.raises(UserError, match=r"config.json") as e:
        models.skeleton(str(tmp_path / "m"))
    assert time.process_time() - began < 3
    assert e.value.hint
