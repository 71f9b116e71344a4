"""The generators of random numbers at one moment, to go back to."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Randomness:
    """States of the CPU's generator and of a GPU's."""

    cpu: torch.Tensor
    gpu: torch.Tensor | None
    device: torch.device

    @classmethod
    def now(cls, device: torch.device) -> Randomness:
        gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(torch.get_rng_state(), gpu, device)

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.gpu is not None:
            torch.cuda.set_rng_state(self.gpu, self.device)
