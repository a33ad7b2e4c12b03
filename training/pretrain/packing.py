"""Scenes to training batches: one image followed by many questions that cannot see each other.

An image is encoded once for all its questions. Every question is a block of its own
(`<user> text question <assistant> answer <eos>`) that sees the image and itself; positions restart
after the image for each block, so a block looks exactly like a single question at inference.
Blocks are put into lanes of equal length; a lane attends to the image and to itself, which costs
less than half of one long sequence with a block-diagonal mask.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.data import Dataset

from training.pretrain.dense import dense_targets
from training.pretrain.lanes import lane_mask
from training.pretrain.processor import (
    ASSISTANT,
    END,
    IMAGE,
    NUM_IMAGE_TOKENS,
    OPENINGS,
    PAD,
    SIDE,
    UNKNOWN,
    USER,
    build_tokenizer,
)
from vif.inputs.boxes import box_shares
from vif.model.families import grid_cells
from vif.scenes import GROUP_OF, Scene, SceneQuestion, ask_scene, draw_scene, unrelated_text
from vif.scenes.world import IMAGE_SIZE, MAX_OBJECTS

IGNORE = -100
FEW_OBJECTS = 2
CELLS = grid_cells(SIDE, SIDE) * IMAGE_SIZE  # of the image tokens, in pixels
SHORT_LANE = 64  # fits every question without text
NO_RELATIONS = dict.fromkeys(
    ("nearest", "left", "right", "above", "below", "odd", "neighbour-cell"), 0.0
)
FAMILY_NAMES = sorted(GROUP_OF)
FAMILY_INDEX = {name: i for i, name in enumerate(FAMILY_NAMES)}


@dataclass(frozen=True)
class PackingConfig:
    """What the training scenes and questions look like.

    Attributes:
        split: Split the scenes come from.
        batch_size: Images per batch.
        questions: Questions per image.
        text_share: Share of questions with unrelated text before them.
        text_min: Shortest such text in tokens.
        text_max: Longest such text in tokens; lengths are uniform between them.
        gap_share: Share of questions whose positions start later, as after a long text, so that
            what long text does to the answers is not a matter of positions never seen.
        gap_max: Longest such gap in positions.
        unknown_share: Share of questions with an unknown word or an opening phrase in them.
        weights: Relative frequency of question families.
        first_seed: Seed of the first scene; batch i, image j is seed first + i * batch_size + j.
        curriculum_steps: Steps over which scenes grow from 2 objects to 14; relations are asked
            from a quarter of it on, text and gaps come in over its second half. With everything
            from the start the model never finds the asked object at all.
        text_from: First batch with text; those before it use short lanes.
        lane: Tokens in a lane; longer blocks lose the beginning of their text.
    """

    split: str = "train"
    batch_size: int = 16
    questions: int = 14
    text_share: float = 0.4
    text_min: int = 1
    text_max: int = 32
    gap_share: float = 0.4
    gap_max: int = 384
    unknown_share: float = 0.12
    weights: dict[str, float] = field(default_factory=dict)
    first_seed: int = 0
    curriculum_steps: int = 0
    text_from: int = 0
    lane: int = SHORT_LANE


@dataclass
class QuestionBlock:
    """One question as token ids.

    Attributes:
        ids: Token ids of the block.
        start: Position of its first token behind the image (the gap).
        question: Slice of the question's own tokens (no text before it), role tokens included.
        answer: Slice of the answer's tokens, end token included.
        source: The question.
    """

    ids: list[int]
    start: int
    question: slice
    answer: slice
    source: SceneQuestion


class PackedScenes(Dataset):
    """Batch i of an endless, reproducible stream of packed scenes."""

    def __init__(
        self, config: PackingConfig, num_batches: int, rank: int = 0, num_processes: int = 1
    ) -> None:
        """One process of several draws every n-th batch of the same stream."""
        self.config = config
        self.num_batches, self.rank, self.num_processes = num_batches, rank, num_processes
        tokenizer = build_tokenizer()
        self.encode = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
        vocabulary = tokenizer.get_vocab()
        self.ids = {name: vocabulary[name] for name in (PAD, UNKNOWN, END, IMAGE, USER, ASSISTANT)}

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        config = self.config
        scenes, blocks = [], []
        for j in range(config.batch_size):
            drawn = index * self.num_processes + self.rank
            seed = config.first_seed + drawn * config.batch_size + j
            rng = np.random.default_rng([seed, 3])
            within = index < config.curriculum_steps
            progress = index / config.curriculum_steps if within else 1.0
            most = FEW_OBJECTS + round((MAX_OBJECTS - FEW_OBJECTS) * progress)
            count = None if progress == 1 else int(rng.integers(FEW_OBJECTS, most + 1))
            scene = draw_scene(seed, config.split, count)
            weights = config.weights | (NO_RELATIONS if progress < 0.25 else {})
            questions = ask_scene(scene, seed, config.questions, weights)
            scenes.append(scene)
            share = max(0.0, 2 * progress - 1)
            blocks.append([self.block(question, rng, index, share) for question in questions])
        return pack(scenes, blocks, self.ids, self._lane(index))

    def _lane(self, index: int) -> int:
        return self.config.lane if index >= self.config.text_from else SHORT_LANE

    def block(
        self, question: SceneQuestion, rng: np.random.Generator, index: int, share: float
    ) -> QuestionBlock:
        """A question with its random surroundings as token ids.

        Args:
            question: The question.
            rng: Source of the surroundings.
            index: Of the batch.
            share: Factor on the shares of questions with text and with a gap.
        """
        config = self.config
        text: list[int] = []
        if rng.random() < share * config.text_share and index >= config.text_from:
            length = int(rng.integers(config.text_min, config.text_max + 1))
            text = self.encode(unrelated_text(int(rng.integers(2**31)), length))
        words = self.encode(question.text)
        if rng.random() < config.unknown_share:
            if rng.random() < 0.6:
                words = self.encode(OPENINGS[rng.integers(len(OPENINGS))]) + words
            else:
                words.insert(int(rng.integers(len(words) + 1)), self.ids[UNKNOWN])
        answer = [*self.encode(question.answer), self.ids[END]]
        room = self._lane(index) - len(words) - len(answer) - 2
        text = text[max(0, len(text) - room) :]
        head = [self.ids[USER], *text]
        ids = [*head, *words, self.ids[ASSISTANT], *answer]
        gap = (
            int(rng.integers(1, config.gap_max + 1))
            if rng.random() < share * config.gap_share
            else 0
        )
        asked = slice(len(head), len(ids) - len(answer))
        return QuestionBlock(ids, gap, asked, slice(asked.stop, len(ids)), question)


def pack(
    scenes: list[Scene], blocks: list[list[QuestionBlock]], ids: dict[str, int], lane: int
) -> dict[str, torch.Tensor]:
    """Packs the questions of every scene side by side behind its image.

    Returns:
        Tensors of a batch of B images with G lanes (Q = G * lane text tokens) and up to M
        questions each: ``pixels`` (B, S, S, 3) uint8; ``ids``, ``positions``, ``block``,
        ``labels`` (B, Q), where ``block`` is the question a token belongs to, from 1 (0 is
        padding), and ``labels`` the token itself in answers and -100 elsewhere; ``mask`` of
        `lane_mask`; ``target`` (B, M, N), each question's true boxes as a distribution over image
        tokens (zeros where there is none);
        ``family`` (B, M), index in `FAMILY_NAMES`, -1 for padding; ``read`` (B, M, T), indices of
        a question's own tokens and its answer's, with ``is_question`` and ``is_answer`` (B, M, T)
        bool; and `dense_targets`.
    """
    lanes = [_fill_lanes([len(b.ids) for b in row], lane) for row in blocks]
    length = max(max(starts) // lane + 1 for starts in lanes) * lane
    batch, most = len(scenes), max(map(len, blocks))
    longest = max(len(b.ids) - b.question.start for row in blocks for b in row)
    out = {
        "ids": torch.full((batch, length), ids[PAD]),
        "positions": torch.zeros(batch, length, dtype=torch.long),
        "block": torch.zeros(batch, length, dtype=torch.long),
        "labels": torch.full((batch, length), IGNORE),
        "target": torch.zeros(batch, most, NUM_IMAGE_TOKENS),
        "family": torch.full((batch, most), -1),
        "read": torch.zeros(batch, most, longest, dtype=torch.long),
        "is_question": torch.zeros(batch, most, longest, dtype=torch.bool),
        "is_answer": torch.zeros(batch, most, longest, dtype=torch.bool),
    }
    for i, row in enumerate(blocks):
        for k, (block, at) in enumerate(zip(row, lanes[i], strict=True)):
            span = slice(at, at + len(block.ids))
            out["ids"][i, span] = torch.tensor(block.ids)
            first = NUM_IMAGE_TOKENS + block.start
            out["positions"][i, span] = torch.arange(first, first + len(block.ids))
            out["block"][i, span] = k + 1
            answer = slice(at + block.answer.start, at + block.answer.stop)
            out["labels"][i, answer] = torch.tensor(block.ids[block.answer])
            asked = block.question.stop - block.question.start
            read = torch.arange(at + block.question.start, at + len(block.ids))
            out["read"][i, k, : len(read)] = read
            out["is_question"][i, k, :asked] = True
            out["is_answer"][i, k, asked : len(read)] = True
            out["target"][i, k] = torch.from_numpy(box_shares(CELLS, block.source.boxes))
            out["family"][i, k] = FAMILY_INDEX[block.source.family]
    out["mask"] = lane_mask(out["block"], lane)
    images = np.stack([np.asarray(scene.image) for scene in scenes])
    dense = [dense_targets(scene) for scene in scenes]
    out |= {name: torch.from_numpy(np.stack([d[name] for d in dense])) for name in dense[0]}
    return out | {"pixels": torch.from_numpy(images)}


def _fill_lanes(lengths: list[int], lane: int) -> list[int]:
    """First-fit decreasing: start of every block so that none crosses a lane's border."""
    used: list[int] = []
    starts = [0] * len(lengths)
    for k in sorted(range(len(lengths)), key=lambda k: -lengths[k]):
        fitting = [g for g, filled in enumerate(used) if filled + lengths[k] <= lane]
        g = fitting[0] if fitting else len(used)
        if not fitting:
            used.append(0)
        starts[k] = g * lane + used[g]
        used[g] += lengths[k]
    return starts
