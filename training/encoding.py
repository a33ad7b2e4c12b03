"""Conversations as the model reads them: token ids, whose turn a position is, what is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from training.records import BadRecord, Record, Records, Turn
from vif import families
from vif.backbone import TEXT_INPUTS, Backbone
from vif.boxes import box_shares
from vif.errors import InputError
from vif.images import open_image

IGNORE = -100
OTHER, QUESTION, ANSWER = range(3)


@dataclass(frozen=True)
class Row:
    """One conversation behind its image.

    Attributes:
        ids: Tokens after the last image token, (T,).
        part: `OTHER`, `QUESTION` (what a latent reads) or `ANSWER`, (T,).
        turn: Which turn a token belongs to, (T,), -1 for none.
        turns: The turns.
        targets: True boxes of every turn as token shares, (turns, N); zeros where unknown.
    """

    ids: np.ndarray
    part: np.ndarray
    turn: np.ndarray
    turns: list[Turn]
    targets: np.ndarray


@dataclass(frozen=True)
class Item:
    """An image with its conversations.

    Attributes:
        key: Number in the data.
        head: What the processor made, tokens up to the last image token, batch size 1.
        columns: Positions of the image tokens, (N,).
        centres: Token centres, (N, 2).
        rows: Conversations, one at least.
        name: Image file.
    """

    key: int
    head: dict[str, torch.Tensor]
    columns: torch.Tensor
    centres: torch.Tensor
    rows: list[Row]
    name: str


class Encoder:
    """Puts conversations into a backbone's chat format."""

    def __init__(self, backbone: Backbone, max_length: int = 0) -> None:
        self.backbone, self.processor = backbone, backbone.processor
        self.tokenizer = backbone.processor.tokenizer
        limit = getattr(backbone.text_config, "max_position_embeddings", 0) or 0
        self.max_length = min(filter(None, (max_length, limit)), default=0)
        # Most templates end an answer with a token of their own; the others are given one.
        shown = self._render([("a", "b")], False).rstrip()
        ends = tuple(token for token in self.tokenizer.all_special_tokens if token)
        has_end = shown.endswith(ends) and not shown.endswith("b")
        self.end = "" if has_end else self.tokenizer.eos_token or ""

    def encode(self, key: int, image: Image.Image, records: list[Record]) -> Item:
        """An item of one image.

        Raises:
            BadRecord: If nothing of it can be used.
        """
        parts = [self._split(record) for record in records]
        made = self.tokenizer(
            [text for text, _ in parts], add_special_tokens=False, return_offsets_mapping=True
        )
        try:
            inputs = self.backbone._process(parts[0][0], image)
        except InputError as error:
            raise BadRecord(str(error)) from error
        ids, bare = inputs["input_ids"][0], made["input_ids"][0]
        columns = torch.nonzero(ids == self.backbone.image_token_id).squeeze(1)
        first = int(columns[-1]) + 1
        tail = _common_end(ids[first:].tolist(), bare)
        shared = len(bare) - tail  # tokens of the text that the processor has expanded
        wrapper = ids[first : len(ids) - tail].tolist()
        picture = families.Picture(
            self.backbone.model.config, self.processor, image.size, inputs, len(columns)
        )
        layout = self.backbone.family.layout(picture)
        rows = []
        for record, (_, spans), row, offsets in zip(
            records, parts, made["input_ids"], made["offset_mapping"], strict=True
        ):
            if row[:shared] != bare[:shared]:
                raise BadRecord("its beginning differs from that of the image's other records")
            if self.max_length and first + len(wrapper) + len(row) - shared >= self.max_length:
                raise BadRecord(f"it is longer than the {self.max_length} tokens that are read")
            ends = np.array([end for _, end in offsets[shared:]])
            targets = [_shares(layout.cells, turn, image.size) for turn in record.turns]
            rows.append(
                _row(wrapper + row[shared:], len(wrapper), ends, spans, record.turns, targets)
            )
        head = {
            name: tensor[:, :first] if name in TEXT_INPUTS else tensor
            for name, tensor in inputs.items()
        }
        centres = torch.from_numpy(layout.centres).float()
        return Item(key, head, columns, centres, rows, records[0].image or "")

    def _split(self, record: Record) -> tuple[str, list[tuple[int, int, int, int]]]:
        """A conversation as text; per turn where it, its question, its answer begin and end."""
        spans, before, said = [], 0, []
        for turn in record.turns:
            asked = self._render([*said, (turn.text, None)], True)
            said.append((turn.text, turn.answer + self.end))
            text = self._render(said, False)
            start = _common_start(asked, text)
            question = asked.rfind(turn.question, before, start)
            end = len(text.rstrip())
            spans.append((before, max(question, before), start, end))
            before = end
        return text, spans

    def _render(self, turns: list[tuple[str, str | None]], add_generation_prompt: bool) -> str:
        if getattr(self.processor, "chat_template", None) is None:
            return self._render_plain(turns)
        messages = []
        for k, (asked, answer) in enumerate(turns):
            content = [{"type": "text", "text": asked}]
            image = [{"type": "image"}] if k == 0 else []
            messages.append({"role": "user", "content": image + content})
            if answer is not None:
                content = [{"type": "text", "text": answer}]
                messages.append({"role": "assistant", "content": content})
        return self.processor.apply_chat_template(
            messages, add_generation_prompt=add_generation_prompt
        )

    def _render_plain(self, turns: list[tuple[str, str | None]]) -> str:
        """For families that were trained without a chat format."""
        (asked, answer), *more = turns
        text = self.backbone._render(asked) + (answer or "")
        return text + "".join(f"\n{asked}\n{answer or ''}" for asked, answer in more)


def _row(
    ids: list[int],
    skip: int,
    ends: np.ndarray,
    spans: list[tuple[int, int, int, int]],
    turns: list[Turn],
    targets: list[np.ndarray],
) -> Row:
    part, whose = np.full(len(ids), OTHER), np.full(len(ids), -1)
    for k, (start, question, answer, end) in enumerate(spans):
        begins = ends > (start if k else -1)  # the first turn begins right behind the image
        whose[skip:][begins & (ends <= end)] = k
        part[skip:][(ends > question) & (ends <= answer)] = QUESTION
        part[skip:][(ends > answer) & (ends <= end)] = ANSWER
    whose[:skip] = 0
    return Row(np.array(ids), part, whose, turns, np.stack(targets).astype(np.float32))


def _shares(cells: np.ndarray, turn: Turn, size: tuple[int, int]) -> np.ndarray:
    boxes = np.array(turn.boxes or []).reshape(-1, 4) / np.array([*size, *size])
    return box_shares(cells, boxes)


def _common_start(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))


def _common_end(a: list[int], b: list[int]) -> int:
    pairs = zip(a[::-1], b[::-1], strict=False)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


class Conversations(Dataset):
    """Items of a data file, encoded where they are asked for; None where that fails."""

    def __init__(self, records: Records, encoder: Encoder) -> None:
        self.records, self.encoder = records, encoder

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Item | None:
        found = self.records.read(index)
        try:
            if found[0].image is None:
                raise BadRecord("it has no image")
            image = open_image(self.records.image_folder / found[0].image)
            return self.encoder.encode(index, image, found)
        except (BadRecord, InputError) as error:
            self.records.skipped.add(found[0].name, str(error))
            return None


def collate(items: list[Item | None]) -> dict[str, Any]:
    """Items as shards of equal numbers of image tokens; see `_shard`."""
    shards: dict[int, list[Item]] = {}
    for item in items:
        if item is not None:
            shards.setdefault(len(item.columns), []).append(item)
    found = [_shard(shard) for shard in shards.values()]
    counts = [sum(shard["counts"] for shard in found)] if found else [torch.zeros(3)]
    return {"shards": found, "counts": counts[0]}


def _shard(items: list[Item]) -> dict[str, Any]:
    """B images with R rows of up to T tokens and up to M questions of an image as tensors.

    Returns:
        ``head``: the images' tokens, padded on the left to P, and pixels; ``columns`` (B, N),
        ``centres`` (B, N, 2); ``ids``, ``part``, ``turn``, ``labels`` (R, T); ``image`` (R,),
        ``length`` (R,); ``row``, ``which`` (B * M,), row and turn of every question, -1 where
        there is none; ``question`` (R, turns), number in B * M of every row's turns;
        ``read``, ``is_question``, ``is_answer`` (B * M, L), what a latent reads of its row;
        ``target`` (B * M, N); ``key`` (B,); ``turns``, a list of B * M turns or None;
        ``counts`` (3,), answer tokens, questions, questions with known boxes.
    """
    rows = [(i, row) for i, item in enumerate(items) for row in item.rows]
    longest = max(len(row.ids) for _, row in rows)
    most = max(sum(len(row.turns) for row in item.rows) for item in items)
    out = {
        name: torch.full((len(rows), longest), fill)
        for name, fill in (("ids", 0), ("part", OTHER), ("turn", -1), ("labels", IGNORE))
    }
    total = len(items) * most
    where, which = torch.full((total,), -1), torch.zeros(total, dtype=torch.long)
    question = torch.zeros(len(rows), max(len(row.turns) for _, row in rows), dtype=torch.long)
    target = torch.zeros(total, len(items[0].columns))
    turns: list[Turn | None] = [None] * total
    spans: list[np.ndarray] = [np.zeros(1, int)] * total
    used = [0] * len(items)
    for r, (i, row) in enumerate(rows):
        size = len(row.ids)
        values = {
            "ids": row.ids,
            "part": row.part,
            "turn": row.turn,
            "labels": np.where(row.part == ANSWER, row.ids, IGNORE),
        }
        for name, value in values.items():
            out[name][r, :size] = torch.from_numpy(value)
        for k, turn in enumerate(row.turns):
            q = i * most + used[i]
            used[i] += 1
            where[q], which[q], question[r, k], turns[q] = r, k, q, turn
            target[q] = torch.from_numpy(row.targets[k])
            spans[q] = np.flatnonzero((row.turn == k) & (row.part != OTHER))
    read = torch.zeros(total, max(map(len, spans)), dtype=torch.long)
    valid = torch.zeros_like(read, dtype=torch.bool)
    for q, span in enumerate(spans):
        read[q, : len(span)] = torch.from_numpy(span)
        valid[q, : len(span)] = True
    parts = out["part"][where.clamp_min(0)[:, None], read]
    known = where >= 0
    out |= {
        "head": _join_heads(items),
        "columns": _columns(items),
        "centres": torch.stack([item.centres for item in items]),
        "image": torch.tensor([i for i, _ in rows]),
        "length": torch.tensor([len(row.ids) for _, row in rows]),
        "row": where,
        "which": which,
        "question": question,
        "read": read,
        "is_question": valid & (parts == QUESTION) & known[:, None],
        "is_answer": valid & (parts == ANSWER) & known[:, None],
        "target": target,
        "key": torch.tensor([item.key for item in items]),
        "turns": turns,
    }
    boxed = (target.sum(1) > 0).sum()
    tokens = (out["labels"] != IGNORE).sum()
    out["counts"] = torch.stack([tokens, known.sum(), boxed]).float()
    return out


def _columns(items: list[Item]) -> torch.Tensor:
    longest = max(item.head["input_ids"].shape[1] for item in items)
    return torch.stack([item.columns + longest - item.head["input_ids"].shape[1] for item in items])


def _join_heads(items: list[Item]) -> dict[str, torch.Tensor]:
    """Heads as one batch, tokens padded on the left, everything else at the end."""
    longest = max(item.head["input_ids"].shape[1] for item in items)
    out: dict[str, list[torch.Tensor]] = {}
    for item in items:
        for name, tensor in item.head.items():
            if name in TEXT_INPUTS:
                tensor = torch.nn.functional.pad(tensor, (longest - tensor.shape[1], 0))
            out.setdefault(name, []).append(tensor)
    return {name: _join(parts) for name, parts in out.items()}


def _join(parts: list[torch.Tensor]) -> torch.Tensor:
    shape = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    if all(list(part.shape[1:]) == shape for part in parts):
        return torch.cat(parts)
    padded = []
    for part in parts:
        missing = [(0, most - size) for size, most in zip(part.shape[1:], shape, strict=True)]
        padded.append(
            torch.nn.functional.pad(part, [n for side in reversed(missing) for n in side])
        )
    return torch.cat(padded)
