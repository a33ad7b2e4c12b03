"""Encodes conversations: token ids, the turn of each position, and the answers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from training.data.records import BadRecord, Record, RecordIndex, Turn
from vif.errors import InputError
from vif.inputs.boxes import as_box, box_shares
from vif.inputs.images import open_image
from vif.model import families
from vif.model.backbone import Backbone
from vif.model.prompt import TEXT_INPUTS

IGNORE = -100
OTHER, QUESTION, ANSWER = range(3)  # what a token is
Span = tuple[int, int, int, int]  # turn, question, answer, end: characters


@dataclass(frozen=True)
class Row:
    """One conversation behind its image.

    Attributes:
        ids: Tokens after the last image token, (T,).
        part: `OTHER`, `QUESTION` (what a latent reads) or `ANSWER`, (T,).
        turn: Which turn a token belongs to, (T,), -1 for none.
        turns: The turns.
        targets: True boxes of every turn as token shares, (turns, N); zeros where unknown.
        first: Number of its first turn among all of the image.
    """

    ids: np.ndarray
    part: np.ndarray
    turn: np.ndarray
    turns: list[Turn]
    targets: np.ndarray
    first: int = 0


@dataclass(frozen=True)
class TrainingItem:
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

    def split(self) -> list[TrainingItem]:
        """One item for every conversation."""
        return [replace(self, rows=[row]) for row in self.rows]


class Encoder:
    """Puts conversations into a backbone's chat format, just as `Backbone.encode` does questions.

    What is said is located by rendering the conversation turn by turn, so that no template needs
    to be known.
    """

    def __init__(self, backbone: Backbone) -> None:
        # Everything but the weights: it goes to other processes.
        self.backbone = copy.copy(backbone)
        self.backbone.model = SimpleNamespace(config=backbone.model.config)
        self.backbone.uninstall = _nothing
        self.processor = backbone.processor
        self.tokenizer = backbone.processor.tokenizer
        self.max_length = getattr(backbone.text_config, "max_position_embeddings", None)
        self.end = self.tokenizer.eos_token or ""
        if self._is_templated:
            # Most templates end an answer with a token of their own; the others are given one.
            shown = self._render([("a", "b")], True, False).rstrip()
            if not shown.endswith("b") and shown.endswith(tuple(self.tokenizer.all_special_tokens)):
                self.end = ""

    def encode(
        self,
        key: int,
        image: Image.Image | None,
        records: list[Record],
        skip: Callable[[Record, str], None],
    ) -> TrainingItem | None:
        """An item of one image, or of a conversation without one.

        Args:
            key: Its number in the data.
            image: RGB image.
            records: Conversations about it.
            skip: Told which of them cannot be used, and why.

        Returns:
            None if none of them can be used.

        Raises:
            BadRecord: If the image cannot be used.
        """
        parts = [self._split(record) for record in records]
        head, columns, layout, wrapper, shared = self._head(image, parts[0][0], records[0])
        made = self.tokenizer(
            [text for _, text, _ in parts], add_special_tokens=False, return_offsets_mapping=True
        )
        room = head["input_ids"].shape[1] + len(wrapper) - len(shared)
        rows: list[Row] = []
        for k, record in enumerate(records):
            ids, offsets = made["input_ids"][k], made["offset_mapping"][k]
            if ids[: len(shared)] != shared:
                skip(
                    record, "its beginning differs from that of the other records about this image"
                )
                continue
            if self.max_length and room + len(ids) > self.max_length:
                skip(record, f"it has more tokens than the model reads ({self.max_length})")
                continue
            tail, ends = ids[len(shared) :], [end for _, end in offsets[len(shared) :]]
            part, turn = _mark(np.array(ends), parts[k][2])
            rows.append(
                Row(
                    ids=np.array(wrapper + tail),
                    part=np.concatenate([np.full(len(wrapper), OTHER), part]),
                    turn=np.concatenate([np.zeros(len(wrapper), int), turn]),
                    turns=record.turns,
                    targets=_targets(layout, record.turns, image),
                    first=sum(len(row.turns) for row in rows),
                )
            )
        if not rows:
            return None
        cells = np.zeros((0, 4)) if layout is None else layout.cells
        centres = torch.from_numpy((cells[:, :2] + cells[:, 2:]) / 2).float()
        return TrainingItem(key, head, columns, centres, rows, records[0].image or "")

    @property
    def _is_templated(self) -> bool:
        return getattr(self.processor, "chat_template", None) is not None

    def _head(
        self, image: Image.Image | None, asked: str, record: Record
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, families.Layout | None, list[int], list[int]]:
        """The tokens that the processor puts before a question for its image.

        Returns:
            Inputs up to the last image token; positions of the image tokens; their layout; tokens
            between the image and what every conversation is tokenized from; tokens of the
            conversation's text that the inputs stand for.
        """
        if image is None:
            empty = torch.zeros(1, 0, dtype=torch.long)
            head = {"input_ids": empty, "attention_mask": empty}
            return head, torch.zeros(0, dtype=torch.long), None, self._beginning(asked), []
        prompt = asked if self._is_templated else self.backbone.render(record.turns[0].text)
        try:
            inputs = self.backbone.process(prompt, image)
        except InputError as error:
            raise BadRecord(str(error)) from error
        ids = inputs["input_ids"][0]
        columns = torch.nonzero(ids == self.backbone.image_token_id).squeeze(1)
        first = int(columns[-1]) + 1
        behind, bare = ids[first:].tolist(), self.tokenizer(asked, add_special_tokens=False)
        bare = bare["input_ids"]
        kept = _common_end(behind, bare)
        picture = families.Picture(
            self.backbone.model.config, self.processor, image.size, inputs, len(columns)
        )
        head = {n: t[:, :first] if n in TEXT_INPUTS else t for n, t in inputs.items()}
        layout = self.backbone.family.layout(picture)
        return head, columns, layout, behind[: len(behind) - kept], bare[: len(bare) - kept]

    def _beginning(self, text: str) -> list[int]:
        """Tokens that the tokenizer adds before a text, unless the template has written them."""
        if self.tokenizer.bos_token and text.startswith(self.tokenizer.bos_token):
            return []
        marked, bare = (
            self.tokenizer("a", add_special_tokens=own)["input_ids"] for own in (True, False)
        )
        return marked[: marked.index(bare[0])]

    def _split(self, record: Record) -> tuple[str, str, list[Span]]:
        """The first question as a prompt, the conversation as text, and where its turns are."""
        spans, prompts, said, before, text = [], [], [], 0, ""
        for turn in record.turns:
            has_image = record.image is not None
            asked = self._render([*said, (turn.text, None)], has_image, True)
            said.append((turn.text, turn.answer + self.end))
            text = self._render(said, has_image, False)
            answer = _common_start(asked, text)
            question = max(asked.rfind(turn.question, before, answer), before)
            spans.append((before, question, answer, len(text.rstrip())))
            prompts.append(asked)
            before = spans[-1][-1]
        return prompts[0], text, spans

    def _render(
        self, turns: list[tuple[str, str | None]], has_image: bool, add_generation_prompt: bool
    ) -> str:
        if not self._is_templated:  # a family of one question: its processor ends it like this
            return "".join(f"{asked}\n{answer or ''}" for asked, answer in turns)
        messages = []
        for k, (asked, answer) in enumerate(turns):
            image = [{"type": "image"}] if has_image and k == 0 else []
            content = [*image, {"type": "text", "text": asked}]
            messages.append({"role": "user", "content": content})
            if answer is not None:
                said = [{"type": "text", "text": answer}]
                messages.append({"role": "assistant", "content": said})
        return self.processor.apply_chat_template(
            messages, add_generation_prompt=add_generation_prompt
        )


def _mark(ends: np.ndarray, spans: list[Span]) -> tuple[np.ndarray, np.ndarray]:
    """What tokens are and whose turn they belong to, from where they end in the text."""
    part, turn = np.full(len(ends), OTHER), np.full(len(ends), -1)
    for k, (start, question, answer, end) in enumerate(spans):
        # The first turn begins right behind the image.
        turn[(ends > (start if k else -1)) & (ends <= end)] = k
        part[(ends > question) & (ends <= answer)] = QUESTION
        part[(ends > answer) & (ends <= end)] = ANSWER
    return part, turn


def _targets(
    layout: families.Layout | None, turns: list[Turn], image: Image.Image | None
) -> np.ndarray:
    if layout is None or image is None:
        return np.zeros((len(turns), 0), np.float32)
    scale = np.array([*image.size, *image.size])
    pixels = [np.array(turn.boxes or []).reshape(-1, 4) for turn in turns]
    boxes = [[as_box(sides) for sides in found / scale] for found in pixels]
    return np.stack([box_shares(layout.cells, found) for found in boxes]).astype(np.float32)


def _nothing() -> None:
    """Stands in for `uninstall` where the model is left out: there is nothing to undo."""


def _common_start(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))


def _common_end(a: list[int], b: list[int]) -> int:
    pairs = zip(a[::-1], b[::-1], strict=False)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


class Conversations(Dataset):
    """Items of a data file, encoded where they are asked for; None where that fails."""

    def __init__(self, records: RecordIndex, encoder: Encoder) -> None:
        self.records, self.encoder = records, encoder

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> TrainingItem | None:
        found, image = self.records.read(index), None
        try:
            if found[0].image is not None:
                image = open_image(self.records.image_folder / found[0].image)
            return self.encoder.encode(index, image, found, self._skip)
        except (BadRecord, InputError) as error:
            for record in found:
                self._skip(record, str(error))
            return None

    def _skip(self, record: Record, reason: str) -> None:
        self.records.skipped.add(record.name, reason)
