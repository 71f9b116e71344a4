"""Whether a folder holds the weights that its configuration describes, from the headers of its files alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.core.errors import UserError, shown
from contextune.core.reading import read_json

if TYPE_CHECKING:
    from .options import Model

Shape = tuple[int, ...]
INDEX = "model.safetensors.index.json"


def shapes(folder: Path, name: str = "model.safetensors") -> dict[str, Shape]:
    """Every tensor of a folder's weights with its shape. Raises UserError for files that are damaged or not there."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, Shape] = {}
    for file in _files(folder, name):
        try:
            with safe_open(file, "pt") as tensors:
                found |= {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as e:
            raise UserError(
                f"model {folder}: {file.name} does not load, it is damaged or cut off ({e})",
                "copy or download the file again",
            ) from None
    if not found:
        raise UserError(f"model {folder}: {name} holds no tensors", "save the model again with save_pretrained")
    return found


def stored_in_bf16(folder: Path) -> bool:
    """Whether a folder's weights are bf16 throughout; False for what is no folder with weights."""
    from safetensors import safe_open

    if not folder.is_dir():
        return False
    kinds: set[str] = set()
    for file in _files(folder, "model.safetensors"):
        with safe_open(file, "pt") as tensors:
            kinds |= {tensors.get_slice(key).get_dtype() for key in tensors.keys()}  # noqa: SIM118
    return kinds == {"BF16"}


def _files(folder: Path, name: str) -> list[Path]:
    if (folder / name).is_file():
        return [folder / name]
    index = folder / INDEX
    if name.startswith("adapter") or not index.is_file():
        there = ", ".join(sorted(p.name for p in folder.glob("*.safetensors"))[:3]) or "none"
        raise UserError(
            f"model {folder}: no {name}; safetensors files there: {there}", "point at a folder made by save_pretrained"
        )
    try:
        names = sorted(set(read_json(index)["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as e:
        raise UserError(f"model {folder}: {INDEX} is not an index of weights ({e!r})", "copy it again") from None
    absent = [n for n in names if not (folder / n).is_file()]
    if absent:
        raise UserError(
            f"model {folder}: {len(absent)} of the {len(names)} files that {INDEX} names are not there: "
            f"{', '.join(absent[:3])}",
            "copy or download them too",
        )
    return [folder / n for n in names]


def skeleton(path: str, model: Model | None = None) -> Any:
    """The causal model of a folder without its weights (on the meta device), its weights' names and shapes checked.

    None where that cannot be known before loading: a hub id, remote code, a quantised model. Raises UserError.
    """
    from transformers import AutoConfig

    folder = Path(path)
    if not folder.is_dir() or (model is not None and model.trust_remote_code):
        return None
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except Exception as e:
        raise UserError(f"model {folder}: its config.json is not understood ({_first(e)})", "copy it again") from None
    refuse_config(path, config)
    there = shapes(folder, getattr(config, "transformers_weights", None) or "model.safetensors")
    refuse_parts(path, config.to_dict(), there)
    return None if hasattr(config, "quantization_config") else _built(path, config, there)


def refuse_parts(path: str, config: Mapping[str, Any], there: Mapping[str, Shape]) -> None:
    """UserError where a configuration counts more layers, experts or heads than its weights have numbers."""
    most = max((max(shape, default=1) for shape in there.values()), default=1) + len(there)
    for key, value in config.items():
        if isinstance(value, Mapping):
            refuse_parts(path, value, there)
        elif isinstance(value, int) and value > most and key.startswith(("num_", "n_layer", "n_head", "n_expert")):
            limit = f"its weights have {len(there)} tensors of at most {most - len(there):,} rows or columns"
            raise UserError(f"model {path}: config.json says {key} {shown(value)}, but {limit}", FIX)


def _built(path: str, config: Any, there: Mapping[str, Shape]) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with _silent(), torch.device("meta"):
            kind = type(AutoModelForCausalLM.from_config(config))
            empty = {key: torch.empty(shape) for key, shape in there.items()}
    except Exception as e:
        raise UserError(
            f"model {path}: config.json describes no model that can be built ({_first(e)})",
            "give a causal language model as save_pretrained wrote it",
        ) from None
    try:
        with _silent():
            built, info = kind.from_pretrained(
                None, config=config, state_dict=empty, device_map="meta", dtype=torch.float32,
                output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
    except Exception as e:
        raise UserError(f"model {path}: its weights do not fit its config.json ({_first(e)})", FIX) from None
    refuse_keys(path, built, info)
    built.name_or_path = path
    return built


FIX = "the weights and config.json must be of one model: copy both again from where it was saved"


def refuse_config(path: str, config: Any) -> None:
    """UserError for encoders, for models that read and write apart, and for models without a layer."""
    name = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(f"model {path}: {name} is an encoder with a decoder", CAUSAL)
    layers = getattr(config.get_text_config(decoder=True), "num_hidden_layers", None)
    if isinstance(layers, int) and layers < 1:
        raise UserError(f"model {path}: config.json says num_hidden_layers {layers}, expected 1 or more", FIX)
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL_NAMES

    if name not in CAUSAL_NAMES and not getattr(config, "auto_map", None):
        raise UserError(f"model {path}: {name} is not a causal language model", CAUSAL)
    if getattr(config, "is_decoder", None) is False and name in _encoders():
        raise UserError(f"model {path}: {name} sees the tokens that it is to predict (is_decoder is false)", CAUSAL)


CAUSAL = "give a causal language model (a decoder), such as Llama, Qwen, Gemma or GPT-2"


def _encoders() -> Iterable[str]:
    """Types of models whose class for causal language modelling is an encoder's, with a switch."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    return MASKED.keys()


def refuse_keys(path: str, model: Any, info: Mapping[str, Any]) -> None:
    """UserError that names what is missing, unexpected or of another shape (transformers' loading info).

    Of a checkpoint of a larger model (vision and text, say), the parts that this class does not have may be left out.
    """
    unexpected = {k for k in info["unexpected_keys"] if not _foreign(k, model)}
    reshaped = {k: (tuple(a), tuple(b)) for k, a, b in info["mismatched_keys"]}
    problems = [
        f"{len(keys)} {what}: {', '.join(show(k) for k in sorted(keys)[:3])}{' …' if len(keys) > 3 else ''}"
        for keys, what, show in (
            (set(info["missing_keys"]) - set(reshaped), "missing", str),
            (unexpected, "not in the model", str),
            (
                set(reshaped),
                "of another shape",
                lambda k: f"{k} {list(reshaped[k][0])}, expected {list(reshaped[k][1])}",
            ),
        )
        if keys
    ] + [str(m) for m in info["error_msgs"]]
    if problems:
        raise UserError(f"model {path}: its weights are not those of its config.json: {'; '.join(problems)}", FIX)


def _foreign(key: str, model: Any) -> bool:
    """Whether a tensor belongs to a part that only the larger model has which the checkpoint was saved from."""
    saved = getattr(model.config, "saved_architectures", None) or getattr(model.config, "architectures", None) or ()
    if type(model).__name__ in saved or not saved:
        return False
    parts = key.split(".")
    if parts[0] == model.base_model_prefix:
        parts = parts[1:]
    tops = {name for name, _ in (*model.named_children(), *model.base_model.named_children())}
    return parts[0] not in tops


def refuse_values(path: str, model: Any) -> None:
    """UserError where a weight is not a number or not finite."""
    import torch

    plain = (torch.float32, torch.float16, torch.bfloat16)
    bad = [
        name
        for name, weight in model.named_parameters()
        if weight.dtype in plain and not weight.is_meta and not _finite(weight.detach())
    ]
    if bad:
        raise UserError(
            f"model {path}: {len(bad)} of its weights hold NaN or infinity: {', '.join(bad[:3])}",
            "take an earlier checkpoint, or copy the file again",
        )


def _finite(weight: Any) -> bool:
    import torch

    # a sum costs no memory; one that overflows is looked at closely
    return bool(torch.isfinite(weight.sum(dtype=torch.float32)) or torch.isfinite(weight).all())


def refuse_bidirectional(path: str, model: Any) -> None:
    """UserError where logits depend on a later token: six tokens are read twice, the last of them another."""
    import torch

    rows = model.get_input_embeddings().weight.shape[0]
    configs = {id(c): c for c in (model.config, model.config.get_text_config(decoder=True))}.values()
    reserved = {getattr(c, "pad_token_id", None) for c in configs}
    ids = [i for i in range(rows - 1, -1, -1) if i not in reserved][:7]
    if len(ids) < 7:
        return
    cached = [(c, c.use_cache) for c in configs if hasattr(c, "use_cache")]  # not needed, and not every model has one
    try:
        for config, _ in cached:
            config.use_cache = False
        with torch.inference_mode():
            first, second = (
                model(input_ids=torch.tensor([row], device=model.device)).logits[0, :-1].float()
                for row in (ids[:6], [*ids[:5], ids[6]])
            )
    except Exception as e:
        raise UserError(
            f"model {path}: it does not run ({_first(e)})", "the weights and config.json must fit"
        ) from None
    finally:
        for config, value in cached:
            config.use_cache = value
    exact = model.dtype == torch.float32
    if (first - second).abs().max() > (1e-3 if exact else 5e-2) * first.std().clamp_min(1e-12):
        raise UserError(
            f"model {path}: {type(model).__name__} sees the tokens that it is to predict (a later token changes what "
            "it says of earlier ones)",
            CAUSAL,
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Within: no table of keys, which refuse_keys says shorter, and no bar."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _first(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:300]
