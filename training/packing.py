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
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from training.processor import (
    ASSISTANT,
    END,
    IMAGE,
    OPENINGS,
    PAD,
    PATCH_SIZE,
    UNKNOWN,
    USER,
    build_tokenizer,
)
from vif.attention import Tap
from vif.scenes import GROUP_OF, Question, Scene, ask_scene, draw_scene, unrelated_text
from vif.scenes.world import COLOURS, GLYPHS, IMAGE_SIZE, MAX_OBJECTS, SHAPES, SIZES

SIDE = IMAGE_SIZE // PATCH_SIZE
NUM_IMAGE_TOKENS = SIDE * SIDE
IGNORE = -100
LANES = "packed_lanes"
FEW_OBJECTS = 2
NO_RELATIONS = dict.fromkeys(
    ("nearest", "left", "right", "above", "below", "odd", "neighbour-cell"), 0.0
)
NEVER = -1e4  # logit of a key that is not visible; finite in every precision
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
    lane: int = 64


@dataclass
class Block:
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
    source: Question


class PackedScenes(Dataset):
    """Batch i of an endless, reproducible stream of packed scenes."""

    def __init__(self, config: PackingConfig, num_batches: int) -> None:
        self.config = config
        self.num_batches = num_batches
        tokenizer = build_tokenizer()
        self.encode = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
        names = (PAD, UNKNOWN, END, IMAGE, USER, ASSISTANT)
        self.ids = dict(zip(names, tokenizer.convert_tokens_to_ids(names), strict=True))

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        config = self.config
        scenes, blocks = [], []
        for j in range(config.batch_size):
            seed = config.first_seed + index * config.batch_size + j
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
            blocks.append([self.block(question, rng, share) for question in questions])
        return pack(scenes, blocks, self.ids, config.lane)

    def block(self, question: Question, rng: np.random.Generator, share: float = 1.0) -> Block:
        """A question with its random surroundings as token ids.

        Args:
            question: The question.
            rng: Source of the surroundings.
            share: Factor on the shares of questions with text and with a gap.
        """
        config = self.config
        text: list[int] = []
        if rng.random() < share * config.text_share:
            length = int(rng.integers(config.text_min, config.text_max + 1))
            text = self.encode(unrelated_text(int(rng.integers(2**31)), length))
        words = self.encode(question.text)
        if rng.random() < config.unknown_share:
            if rng.random() < 0.6:
                words = self.encode(OPENINGS[rng.integers(len(OPENINGS))]) + words
            else:
                words.insert(int(rng.integers(len(words) + 1)), self.ids[UNKNOWN])
        answer = [*self.encode(question.answer), self.ids[END]]
        room = config.lane - len(words) - len(answer) - 2
        text = text[max(0, len(text) - room) :]
        head = [self.ids[USER], *text]
        ids = [*head, *words, self.ids[ASSISTANT], *answer]
        gap = (
            int(rng.integers(1, config.gap_max + 1))
            if rng.random() < share * config.gap_share
            else 0
        )
        asked = slice(len(head), len(ids) - len(answer))
        return Block(ids, gap, asked, slice(asked.stop, len(ids)), question)


def pack(
    scenes: list[Scene], blocks: list[list[Block]], ids: dict[str, int], lane: int
) -> dict[str, torch.Tensor]:
    """Puts the blocks of every scene into lanes.

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
            out["target"][i, k] = torch.from_numpy(box_coverage(block.source.boxes))
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


def box_coverage(boxes: tuple[tuple[float, float, float, float], ...]) -> np.ndarray:
    """Boxes in pixels as a distribution over the image tokens, (N,), zeros without boxes."""
    total = np.zeros((SIDE, SIDE), np.float32)
    for box in boxes:
        share = _overlap(box)
        total += share / max(share.sum(), 1e-6)
    return (total / max(len(boxes), 1)).reshape(-1)


def _overlap(box: tuple[float, float, float, float]) -> np.ndarray:
    """Area of a box inside every token's cell, in pixels squared, (SIDE, SIDE)."""
    low = np.arange(SIDE) * PATCH_SIZE
    width = np.clip(np.minimum(box[2], low + PATCH_SIZE) - np.maximum(box[0], low), 0, None)
    height = np.clip(np.minimum(box[3], low + PATCH_SIZE) - np.maximum(box[1], low), 0, None)
    return np.outer(height, width).astype(np.float32)


def dense_targets(scene: Scene) -> dict[str, np.ndarray]:
    """What each image token should know: the object in it, for pre-training the vision tower.

    Returns:
        ``dense_class`` (N, 4) int64: colour, shape, glyph, size, each with 0 for nothing;
        ``dense_offset`` (N, 2) float32: object's centre minus token's centre, in token widths.
    """
    classes = np.zeros((SIDE, SIDE, 4), np.int64)
    offsets = np.zeros((SIDE, SIDE, 2), np.float32)
    best = np.zeros((SIDE, SIDE), np.float32)
    ticks = np.arange(SIDE) + 0.5
    for item in scene.objects:
        overlap = _overlap(scene.box(item))
        share = overlap / max(overlap.sum(), 1e-6)
        wins = (share > best) & ((share > 0.15) | (overlap > 0.3 * PATCH_SIZE**2))
        best[wins] = share[wins]
        classes[wins] = (
            1 + tuple(COLOURS).index(item.colour),
            1 + SHAPES.index(item.shape),
            1 + GLYPHS.index(item.glyph) if item.glyph else 0,
            1 + tuple(SIZES).index(item.size),
        )
        dx, dy = np.meshgrid(item.x * SIDE - ticks, item.y * SIDE - ticks)
        offsets[wins] = np.stack([dx, dy], -1)[wins]
    return {"dense_class": classes.reshape(-1, 4), "dense_offset": offsets.reshape(-1, 2)}


def lane_mask(block: torch.Tensor, lane: int) -> torch.Tensor:
    """Which token of its lane a text token sees: earlier tokens of its own question.

    The image is visible to all of them and is no part of the mask.

    Args:
        block: Question of each text token, (B, G * lane), 0 for padding.
        lane: Tokens in a lane.

    Returns:
        (B * G, 1, lane, lane) bool, True = visible. A padding token sees the image only.
    """
    block = block.unflatten(1, (-1, lane))
    same = (block[..., :, None] == block[..., None, :]) & (block[..., :, None] > 0)
    return (same & torch.ones(lane, lane, dtype=torch.bool).tril()).flatten(0, 1)[:, None]


@dataclass(frozen=True)
class LaneMix:
    """`vif.attention.Mix` for packed questions: one map per question instead of one per row.

    Attributes:
        map: (B, M, N), rows sum to 1.
        strength: (B, M, H), in [0, 1].
        block: Question of each text token, (B, Q), from 1.
    """

    map: torch.Tensor
    strength: torch.Tensor
    block: torch.Tensor

    def apply(self, out: torch.Tensor, image_values: torch.Tensor) -> torch.Tensor:
        """Mixes into text outputs (B, H, Q, D) with image values (B, H, N, D)."""
        pooled = self.map[:, None].to(image_values.dtype) @ image_values
        strength = self.strength.transpose(1, 2)[..., None].to(out.dtype)
        index = (self.block - 1).clamp_min(0)[:, None, :, None]
        index = index.expand(-1, out.shape[1], -1, 1)
        pooled = pooled.gather(2, index.expand(-1, -1, -1, out.shape[3]))
        strength = strength.gather(2, index) * (self.block > 0)[:, None, :, None]
        return out + strength * (pooled - out)


class LaneTap(Tap):
    """What a training step mixes in, by layer."""

    def __init__(self) -> None:
        self.mixes: dict[int, LaneMix] = {}


def lane_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float,
    vif: LaneTap | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attention of a packed batch, in transformers' calling convention.

    Args:
        module: Ignored.
        query: (B, H, N + Q, D).
        key: (B, Hkv, N + Q, D).
        value: As key.
        attention_mask: Of `lane_mask`.
        scaling: Factor on the logits.
        vif: What to mix into the text rows.

    Returns:
        (B, N + Q, H, D) and None.
    """
    lane = attention_mask.shape[-1]
    size = (NUM_IMAGE_TOKENS, query.shape[2] - NUM_IMAGE_TOKENS)
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, 1) for x in (key, value))
    (q_image, q_text), (k_image, k_text), (v_image, v_text) = (
        x.split(size, 2) for x in (query * scaling, key, value)
    )
    hidden = ~torch.ones(NUM_IMAGE_TOKENS, NUM_IMAGE_TOKENS, dtype=torch.bool).tril()
    prefix = (q_image @ k_image.mT).masked_fill(hidden, NEVER).softmax(-1) @ v_image

    q_lane, k_lane, v_lane = (x.unflatten(2, (-1, lane)) for x in (q_text, k_text, v_text))
    hidden = ~attention_mask.unflatten(0, (len(query), -1)).transpose(1, 2)
    own = (q_lane @ k_lane.mT).masked_fill(hidden, NEVER).flatten(2, 3)
    weights = torch.cat([q_text @ k_image.mT, own], -1).softmax(-1)
    from_image, from_lane = weights.split((NUM_IMAGE_TOKENS, lane), -1)
    text = from_image @ v_image + (from_lane.unflatten(2, (-1, lane)) @ v_lane).flatten(2, 3)
    if vif is not None and (mix := vif.mixes.get(module.layer_idx)) is not None:
        text = mix.apply(text, v_image)
    return torch.cat([prefix, text], 2).transpose(1, 2).contiguous(), None


AttentionInterface.register(LANES, lane_attention)
AttentionMaskInterface.register(LANES, sdpa_mask)
