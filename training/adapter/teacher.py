"""The teacher of maps: evidence from answers, computed once per question and stored on disk.

`EvidenceStore` is a folder of append-only files, one per process. A resumed training, a second
epoch, another seed or another adapter finds there what was computed before.
"""

from __future__ import annotations

import json
import logging
import os
import struct
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from training.adapter.evidence import gradients
from training.data.shard import Shard
from vif.errors import InputError
from vif.methods.evidence import standardised
from vif.model.types import VisionLanguageModel

HEADER = struct.Struct("<qiff")  # key, places, gain, log p of the answer
DESCRIPTION = "teacher.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvidenceKey:
    """What evidence depends on; a store holds that of one such description.

    Attributes:
        backbone: The model.
        data: The data file's name and size in bytes.
        together: Most records of an image that share an item, which numbers questions.
        layers: First and last layer where the map is mixed in.
        strength: Share of attention that it replaces.
    """

    backbone: str
    data: str
    together: int
    layers: tuple[int, int]
    strength: float


class Evidence(NamedTuple):
    """Where looking would have made the answer to one question likelier.

    Attributes:
        scores: Standardised gradient of every place, (N,) float32; None where there was none.
        gain: What the gradient promises if all weight moves to the best place, in nats.
        value: log p(answer) with the uniform map.
    """

    scores: np.ndarray | None
    gain: float
    value: float


class EvidenceStore:
    """Evidence on disk, by the number of a question."""

    def __init__(self, folder: str | Path, asking: EvidenceKey, rank: int = 0) -> None:
        """Opens or makes a store.

        Raises:
            InputError: If it holds evidence of another model, data or kind of asking.
        """
        self.folder, self.rank = Path(folder), rank
        self.folder.mkdir(parents=True, exist_ok=True)
        self._where: dict[int, tuple[Path, int]] = {}
        self._read: dict[Path, int] = {}
        self._describe(asking)
        self.refresh(own=True)

    def _describe(self, asking: EvidenceKey) -> None:
        path = self.folder / DESCRIPTION
        wanted = json.loads(json.dumps(asdict(asking)))
        if not path.exists():
            partial = path.with_suffix(f".{os.getpid()}")
            partial.write_text(json.dumps(wanted, indent=1) + "\n")
            partial.replace(path)
            return
        found = json.loads(path.read_text())
        if found != wanted:
            changed = ", ".join(
                f"{name} {found.get(name)!r} instead of {value!r}"
                for name, value in wanted.items()
                if found.get(name) != value
            )
            raise InputError(
                f"{self.folder} holds evidence with other settings ({changed}): name another "
                "folder with --teacher_store, or remove that one."
            )

    @property
    def _own(self) -> Path:
        return self.folder / f"evidence-{self.rank}.bin"

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, key: int) -> bool:
        return key in self._where

    def refresh(self, own: bool = False) -> None:
        """Reads the records that other processes have added; a record cut off is left out.

        Args:
            own: Whether this process's own file is mended, too: once, before anything is added.
        """
        for path in sorted(self.folder.glob("evidence-*.bin")):
            at, size = self._read.get(path, 0), path.stat().st_size
            with path.open("rb") as file:
                while at + HEADER.size <= size:
                    file.seek(at)
                    key, places, _, _ = HEADER.unpack(file.read(HEADER.size))
                    end = at + HEADER.size + 2 * places
                    if places < 0 or end > size:
                        break
                    self._where[key] = (path, at)
                    at = end
            self._read[path] = at
            if own and path == self._own and at < size:
                with path.open("r+b") as file:
                    file.truncate(at)

    def get(self, key: int) -> Evidence:
        """The evidence of a question.

        Raises:
            KeyError: If it was not asked yet.
        """
        path, at = self._where[key]
        with path.open("rb") as file:
            file.seek(at)
            _, places, gain, value = HEADER.unpack(file.read(HEADER.size))
            scores = np.frombuffer(file.read(2 * places), np.float16).astype(np.float32)
        return Evidence(scores if places else None, gain, value)

    def add(self, found: dict[int, Evidence]) -> None:
        """Appends the evidence of some questions."""
        with self._own.open("ab") as file:
            for key, (scores, gain, value) in found.items():
                places = np.zeros(0) if scores is None else scores
                self._where[key] = (self._own, file.tell())
                file.write(HEADER.pack(key, len(places), gain, value))
                file.write(places.astype(np.float16).tobytes())
            file.flush()
            self._read[self._own] = file.tell()


class Teacher:
    """Adds to every shard the evidence that the posterior learns from.

    Evidence is log-likelihood up to a constant: `sharpness` times the standardised gradient, less
    where the gradient promises less than `full_gain` nats. A question that another place would not
    answer better says nothing about places.

    Attributes:
        asked: Questions asked of the backbone by this process.
        seconds: How long that took.
        skipped: Questions without evidence, by reason.
    """

    def __init__(
        self,
        store: EvidenceStore,
        layers: list[int],
        strength: float,
        sharpness: float = 2.0,
        full_gain: float = 1.0,
    ) -> None:
        self.store, self.layers, self.strength = store, layers, strength
        self.sharpness, self.full_gain = sharpness, full_gain
        self.asked, self.seconds, self.skipped = 0, 0.0, Counter()

    def teach(self, vlm: VisionLanguageModel, shard: Shard, whole: bool) -> Shard:
        """Returns the shard with its evidence."""
        keys, known = shard.key.tolist(), (shard.row >= 0).tolist()
        wanted = [key for key, real in zip(keys, known, strict=True) if real]
        if not all(key in self.store for key in wanted):
            self.store.refresh()
        if not all(key in self.store for key in wanted):
            self._ask(vlm, shard, whole)
        evidence = np.zeros((len(keys), shard.columns.shape[1]), np.float32)
        taught = np.zeros(len(keys), bool)
        for q, (key, real) in enumerate(zip(keys, known, strict=True)):
            found = self.store.get(key) if real else Evidence(None, 0.0, 0.0)
            if found.scores is not None:
                share = min(max(found.gain / self.full_gain, 0.0), 1.0)
                evidence[q] = self.sharpness * share * found.scores
                taught[q] = True
        device = shard.ids.device
        return replace(
            shard,
            evidence=torch.from_numpy(evidence).to(device),
            taught=torch.from_numpy(taught).to(device),
        )

    def _ask(self, vlm: VisionLanguageModel, shard: Shard, whole: bool) -> None:
        started = time.monotonic()
        device = shard.ids.device.type
        missing = [
            row >= 0 and key not in self.store
            for key, row in zip(shard.key.tolist(), shard.row.tolist(), strict=True)
        ]
        wanted = torch.tensor(missing, device=device)
        # A CPU's backward pass is slow in half precision.
        with torch.autocast(device, enabled=device != "cpu" and torch.is_autocast_enabled(device)):
            maps, values = gradients(vlm, shard, self.layers, self.strength, whole, wanted)
        visible = ~shard.centres.isnan().any(-1).cpu()
        visible = visible.repeat_interleave(len(maps) // len(visible), 0)
        maps, values = self.strength * maps.cpu(), values.cpu()
        scores, known, spread = standardised(maps, visible)
        # Nothing can be learned about places that do not lie on the image.
        scored = scores.masked_fill(~visible, -30.0).clamp(-30, 30).float().numpy()
        gains = (scores * spread).amax(1).tolist()
        finite = (maps.isfinite().all(1) & values.isfinite()).tolist()
        found = {}
        for q in np.flatnonzero(missing):
            if not finite[q]:
                judged = self._skip("its gradient is not finite")
            elif not known[q]:
                judged = self._skip("its gradient is the same everywhere")
            else:
                judged = Evidence(scored[q], gains[q], float(values[q]))
            found[int(shard.key[q])] = judged
        self.asked += len(found)
        self.store.add(found)
        self.seconds += time.monotonic() - started

    def _skip(self, reason: str) -> Evidence:
        if not self.skipped[reason]:
            _log.warning("A question has no evidence (%s) and teaches no map.", reason)
        self.skipped[reason] += 1
        return Evidence(None, 0.0, 0.0)
