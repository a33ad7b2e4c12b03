"""The place of this process among those that ``accelerate launch`` or ``torchrun`` started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object


@dataclass(frozen=True)
class Processes:
    """This process among all that share a job.

    Attributes:
        index: From 0 on; 0 writes the results.
        number: How many there are.
        device: Where this one loads its model, None where the choice is free.
        state: Accelerate's, None in a process of its own.
    """

    index: int = 0
    number: int = 1
    device: str | None = None
    state: Any = None

    @classmethod
    def find(cls) -> Processes:
        """The processes that the environment variables of the launcher describe."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        # Without being told so, accelerate takes processes on CPUs for jobs of their own.
        state = PartialState(cpu=not torch.cuda.is_available())
        return cls(state.process_index, state.num_processes, str(state.device), state)

    @property
    def is_main(self) -> bool:
        """Whether this one writes the results."""
        return self.index == 0

    def wait(self) -> None:
        """Waits until all processes have reached this point."""
        if self.state is not None:
            self.state.wait_for_everyone()

    def mine(self, number: int) -> bool:
        """Whether this process does piece `index` of the work: the processes take turns."""
        return number % self.number == self.index

    def gather(self, found: dict[Any, Any]) -> dict[Any, Any]:
        """What all processes found, by key, in each of them."""
        if self.state is None:
            return found
        return {key: value for part in gather_object([found]) for key, value in part.items()}
