"""The whole bench: which parts, how large, with what, and the table of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from contextune.core.environment import environment, native_bf16
from contextune.core.errors import UserError

from . import race

SIZES = ("pocket", "medium", "billion", "seven")
GPU_PARTS = ("training", "scoring", "generation")
QUICK = 4
"""How many times shorter the rows of `--quick` are for a model that is not ours."""
PARTS = ("training", "scoring", "generation", "retrieval")
GPU_NEEDS = {"liger_kernel": "Liger's kernels, ours and TRL's,", "flash_attn": "TRL without padding"}
NEEDS = {
    "training": ("trl", "pip install 'contextune[bench]'"),
    "scoring": ("lm_eval", "pip install 'contextune[harness]'"),
}


def bench(
    parts: Seq[str],
    quick: bool,
    rounds: int,
    sizes: Seq[str],
    threads: int,
    told: race.RaceProgress,
    device: str = "cpu",
) -> dict[str, Any]:
    """Runs the parts; peers that are not installed are left out and named.

    Raises UserError where none is there, for a GPU that is not there, and for retrieval on one.
    """
    import torch

    if device != "cpu":
        _refuse_without_gpu(parts)

    missing = [f"{part} without {NEEDS[part][0]}: {NEEDS[part][1]}" for part in parts if not _there(part)]
    if "training" in parts and device != "cpu":
        missing += [
            f"{what} without {name}: pip install {name}" for name, what in GPU_NEEDS.items() if not find_spec(name)
        ]
    if "training" in parts and not _quick_in_bf16(device):
        missing.append("TRL with its defaults (bf16, checkpointing): this processor has no bf16 products")
    if "scoring" in parts and not _there("scoring"):
        if tuple(parts) == ("scoring",):
            raise UserError("bench scoring needs lm-evaluation-harness", NEEDS["scoring"][1])
        parts = [p for p in parts if p != "scoring"]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = {part: list(_part(part, quick, rounds, sizes, told, device)) for part in parts}
    finally:
        torch.set_num_threads(before)
    return {"machine": machine(threads, device), "missing": missing, **found}


def _refuse_without_gpu(parts: Seq[str]) -> None:
    import torch

    if wrong := [part for part in parts if part not in GPU_PARTS]:
        raise UserError(
            f"bench --device cuda: {wrong[0]} is not measured on a GPU", "contextune bench training --device cuda"
        )
    if not torch.cuda.is_available():
        raise UserError("bench --device cuda: torch sees no GPU here", "leave --device out: the processor is measured")


def _quick_in_bf16(device: str) -> bool:
    """TRL with its defaults computes in bf16, which takes minutes a step in software."""
    return device != "cpu" or bool(native_bf16())


def _there(part: str) -> bool:
    return part not in NEEDS or find_spec(NEEDS[part][0]) is not None


def _part(
    part: str, quick: bool, rounds: int, sizes: Seq[str], told: race.RaceProgress, device: str
) -> Iterator[dict[str, Any]]:
    if part == "retrieval":
        from . import retrieval

        yield retrieval.measure(20_000 if quick else 200_000, 100, rounds, told)
        return
    for size in sizes:
        if part != "training" and size == "seven":  # there an adapter is trained: nothing is new to score
            continue
        if part == "training":
            from . import training
            from .workloads import GPU_WORKLOADS, WORKLOADS

            every = training.PEERS if device == "cpu" else training.GPU_PEERS
            peers = [p for p in every if p == "transformers" or _there("training")]
            if not find_spec("flash_attn"):
                peers = [p for p in peers if p != "trl_packed"]
            if not _quick_in_bf16(device) or (quick and device == "cpu"):
                peers = [p for p in peers if p != "trl_as_it_comes"]
            for workload in WORKLOADS if device == "cpu" else GPU_WORKLOADS:
                short = QUICK if quick and size not in SIZES else 1
                yield training.measure(size, workload, rounds, peers, told, device, short)
        elif part == "scoring":
            from . import scoring

            yield scoring.measure(size, rounds, 4 if quick else 16, told, device)
        else:
            from . import generation

            for document in (False, True):
                yield generation.measure(size, rounds, 4 if quick else 16, told, document, device)


def machine(threads: int, device: str = "cpu") -> dict[str, Any]:
    """Processor and GPU, native bf16 or not, threads, and the versions of all that took part."""
    about = environment()
    packages = ("contextune", "torch", "transformers", "trl", "lm_eval", "liger_kernel", "flash_attn")
    versions = {name: v for name in packages if (v := _version(name))}
    return {
        "cpu": about["processor"],
        "bf16": native_bf16(),
        "threads": threads,
        "gpu": about["device"] if device != "cpu" else None,
        "versions": versions,
    }


def _version(name: str) -> str | None:
    if name == "contextune":
        from contextune import __version__

        return __version__
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The results as Markdown."""
    about = result["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    native = ", ".join(about["bf16"]) or "no native bf16"
    where = about.get("gpu") or f"{about['cpu']}, {native}, {about['threads']} thread"
    yield f"{where}; {versions}"
    unit = clock = "seconds" if about.get("gpu") else "CPU seconds"
    yield from (f"left out: {m}" for m in result["missing"])
    for row in result.get("training", ()):
        yield ""
        about = f"{row['workload']}; {row['rounds']} rounds, ceiling {row['ceiling']:.0f} GFLOP/s"
        yield f"training, {row['size']} model, {about}"
        yield ""
        yield f"| | {unit} a step | ours is faster | of the ceiling | peak MB | loss differs | gradients differ |"
        yield "|---|---|---|---|---|---|---|"
        for name, r in row["runners"].items():
            yield (
                f"| {name} | {_seconds(r)} | {race.spread(r['ours_is_faster'])} | {r['utilisation']:.0%} "
                f"| {_mega(r['peak'])} | {r['loss']:.0e} | {r['gradients']:.0e} |"
            )
    for part, unit in (("scoring", "questions"), ("generation", "requests"), ("retrieval", "documents")):
        for row in result.get(part, ()):
            said = (
                f"same answers {row['same']:.0%}"
                if "same" in row
                else f"largest difference {row['difference']:.0e} nats"
            )
            yield ""
            size = f", {row['size']} model" if "size" in row else ""
            after = " after one document" if row.get("document") else ""
            yield f"{part}{size}, {row[unit]:,} {unit}{after}; {said}"
            yield ""
            yield f"| | {clock} | ours is faster | peak MB |"
            yield "|---|---|---|---|"
            for name, r in row["runners"].items():
                yield f"| {name} | {_seconds(r)} | {race.spread(r['ours_is_faster'])} | {_mega(r.get('peak'))} |"


def _seconds(runner: Mapping[str, Any]) -> str:
    return race.spread((runner["seconds"], *runner["range"]), 3)


def _mega(peak: int | None) -> str:
    return "" if peak is None else f"{peak / 1e6:.0f}"
