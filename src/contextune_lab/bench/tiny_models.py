"""A tiny model with random weights of any causal architecture of transformers, from its own default configuration.

Every number of the configuration that says how large the model is is made small, by its name; architectures whose
numbers hang together in another way have an entry in OTHERWISE.
"""

from __future__ import annotations

from typing import Any

WIDTH, HEADS, HEAD, LAYERS, VOCABULARY, POSITIONS = 64, 4, 16, 2, 96, 512
SIZES: dict[str, int] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "model_dim", "dim", "embed_dim", "embedding_size"), WIDTH),
    **dict.fromkeys(("word_embed_proj_dim", "attention_hidden_size", "linear_num_value_dim", "lru_width"), WIDTH),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "dff", "d_inner"), 2 * WIDTH),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "prefix_hidden_size", "mlp_hidden_size"), 2 * WIDTH),
    **dict.fromkeys(("intermediate_size_mlp", "dense_intermediate_size", "shared_intermediate_size"), 2 * WIDTH),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"), WIDTH // 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads"), HEADS),
    **dict.fromkeys(("decoder_attention_heads", "num_decoder_attention_heads", "num_encoder_attention_heads"), HEADS),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "swa_num_key_value_heads"), HEADS // 2),
    **dict.fromkeys(("head_dim", "d_kv", "attention_head_dim", "qk_nope_head_dim", "v_head_dim", "kv_channels"), HEAD),
    **dict.fromkeys(("qk_rope_head_dim",), HEAD // 2),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"), LAYERS),
    **dict.fromkeys(("encoder_layers", "num_decoder_layers", "num_encoder_layers"), LAYERS),
    **dict.fromkeys(("vocab_size", "decoder_vocab_size"), VOCABULARY),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), POSITIONS),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk"), 2),
    **dict.fromkeys(("n_group", "topk_group", "num_expert_group", "n_shared_experts", "num_shared_experts"), 1),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank"), 16),
    **dict.fromkeys(("state_size", "mamba_d_state", "ssm_state_size", "d_state"), 8),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim", "mamba_headdim"), 16),
    **dict.fromkeys(("n_groups", "mamba_n_groups", "mamba_ngroups"), 1),
    **dict.fromkeys(("mamba_dt_rank", "time_step_rank"), 4),
    **dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads"), HEADS),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), HEAD),
}
LAYER_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
DROPOUT = ("drop", "jitter")
SPECIALS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
MLA = {"head_dim": HEAD // 2, "qk_head_dim": HEAD + HEAD // 2, "num_key_value_heads": HEADS}
OTHERWISE: dict[str, dict[str, Any]] = {
    "granitemoehybrid": {"mamba_n_heads": 8},
    "bamba": {"mamba_n_heads": 8, "attn_layer_indices": [1]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "falcon_h1": {"mamba_n_heads": 8, "mamba_d_ssm": 128},
    "mamba2": {"num_heads": 8, "head_dim": 16},
    **{key: {"rotary_dim": 8} for key in ("gptj", "codegen")},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 8},
    **{key: {"head_dim": HEAD} for key in ("hunyuan_v1_dense", "hunyuan_v1_moe", "ministral")},
    "nemotron": {"num_key_value_heads": 2, "head_dim": HEAD},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "gemma3n_text": {"num_kv_shared_layers": 0, "vocab_size_per_layer_input": VOCABULARY},
    "gemma4_text": {"num_kv_shared_layers": 0, "vocab_size_per_layer_input": VOCABULARY},
    "zaya": {"num_experts_per_tok": 1},
    "zamba2": {"mamba_ngroups": 1, "n_mamba_heads": 8, "mamba_headdim": 16},
    "deepseek_v2": {"num_experts_per_tok": 2, **MLA},
    "cpmant": {"dim_head": HEAD, "dim_ff": 128},
    "dory": {"layer_types": ["sliding_attention", "mlp", "full_attention", "mlp"], "num_hidden_layers": 4},
    "xlm": {"n_words": VOCABULARY, "emb_dim": WIDTH, "causal": True},
    "xmod": {"default_language": "en_XX"},
}
KINDS = ("layer_types", "layers_block_type", "mlp_layer_types")


def configuration(name: str, **more: Any) -> Any:
    """Of `model_type` `name`, tiny and without dropout; every kind of layer of the default one occurs."""
    from transformers import CONFIG_MAPPING

    kind = CONFIG_MAPPING[name]
    given = kind().to_dict()
    options: dict[str, Any] = {k: SIZES[k] for k, v in given.items() if k in SIZES and isinstance(v, int) and v}
    options |= {k: 0.0 for k, v in given.items() if any(d in k for d in DROPOUT) and isinstance(v, float)}
    kinds = {k: list(dict.fromkeys(given[k])) for k in KINDS if isinstance(given.get(k), list)}
    if kinds:
        layers = max(LAYERS, *map(len, kinds.values()))
        options |= {k: layers for k in options if k in LAYER_KEYS}
        options |= {k: (v * layers)[:layers] for k, v in kinds.items()}
    if "qk_rope_head_dim" in options:
        options |= {k: v for k, v in MLA.items() if k in given}
    return kind(**{**options, **SPECIALS, **OTHERWISE.get(name, {}), **more})


def tiny(name: str, **more: Any) -> Any:
    """A causal language model of this architecture with random weights, the same at every call, in training mode."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(configuration(name, **more))
    with torch.no_grad():  # initial weights are so small that attention hardly matters
        for key, parameter in model.named_parameters():
            if parameter.ndim > 1 and "conv" not in key:
                parameter.normal_(0, 0.1)
    return model.train()
