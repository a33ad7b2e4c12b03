"""Questions of an evaluation harness, answered in batches. Does not know lmms-eval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from PIL import Image

from vif import methods
from vif.errors import InputError
from vif.inputs.text import MAX_CHARACTERS, MAX_CONTEXT_CHARACTERS
from vif.lmms_eval.brief import UnrecordedMethod
from vif.methods import Method
from vif.methods.forced import Forced
from vif.methods.prompts import without_image
from vif.model.attention import Tap
from vif.model.generation import generate
from vif.question import Question
from vif.session import Session
from vif.settings import MOST_NEW_TOKENS, Settings
from vif.trace import Trace

# lmms-eval's own models answer in at most so many tokens where a task says nothing.
MAX_NEW_TOKENS = 1024
IMAGE_PLACEHOLDER = "<image>"
# Most groups of like questions that wait to fill a batch; their images are held meanwhile.
MAX_GROUPS = 32
# What a question shows; methods steer only questions about one image.
IMAGE, TEXT, OTHER = "image", "text", "other"
_BLANK = Image.new("RGB", (64, 64))
Result = TypeVar("Result")


@dataclass(frozen=True)
class TaskItem:
    """One item of a task: a question as lmms-eval gives it.

    Attributes:
        name: Which, for messages.
        visuals: What the task shows; see `kind`.
        text: What it asks.
        options: Its generation settings: ``max_new_tokens``, ``until``, ``temperature``, ...
        target: The continuation whose likelihood is wanted; empty for an answer.
    """

    name: str
    visuals: Sequence[Any]
    text: str
    options: Mapping[str, Any] = field(default_factory=dict)
    target: str = ""

    @property
    def kind(self) -> str:
        """`IMAGE` for one image, `TEXT` for none, `OTHER` for several, a video or a sound."""
        if not self.visuals:
            return TEXT
        is_image = len(self.visuals) == 1 and isinstance(self.visuals[0], Image.Image)
        return IMAGE if is_image else OTHER

    def check(self) -> None:
        """Raises `InputError` unless this can be answered as the task means it."""
        sampled = self.options.get("do_sample", True) and self.options.get("temperature", 0)
        if sampled or self.options.get("num_beams", 1) not in (1, None):
            raise InputError(
                f"{self.name} requests sampling or beams, but VIF Lens decodes greedily: add "
                "--gen_kwargs temperature=0,num_beams=1."
            )

    @property
    def image(self) -> Image.Image:
        """The image, RGB."""
        return self.visuals[0].convert("RGB")

    @property
    def max_new_tokens(self) -> int:
        """Longest answer; a task that allows more than can be asked for gets that."""
        return min(int(self.options.get("max_new_tokens") or MAX_NEW_TOKENS), MOST_NEW_TOKENS)

    @property
    def until(self) -> list[str]:
        """Where an answer is cut off."""
        until = self.options.get("until") or []
        return [until] if isinstance(until, str) else [mark for mark in until if mark]


class Asker:
    """Answers many questions by one method."""

    def __init__(
        self, session: Session, method: str, settings: Settings, batch_size: int = 1
    ) -> None:
        """Checks the method and its settings.

        Raises:
            InputError: If there is no such method, or a setting is wrong.
        """
        self.session, self.method = session, methods.find(method)
        self.settings, self.batch_size = settings, batch_size
        session.check([self.method], settings)
        self._num_tokens: dict[tuple[int, int], int] = {}
        # Questions by kind.
        self.counts: Counter[str] = Counter()

    def answers(self, questions: Iterable[TaskItem], done: Callable[[int], object]) -> list[str]:
        """Answers, cut where the task says.

        A question without any image is answered by the language model alone, whatever the method,
        which has nothing to steer; one with several images or a video is skipped, its answer empty.
        `counts` says how many there were.

        Args:
            questions: The questions; few of them are held at a time.
            done: Called with how many more have been answered.

        Raises:
            InputError: If one cannot be asked; the message says which and why.
        """
        return self._each(questions, self._answer, done, "")

    def likelihoods(
        self, questions: Iterable[TaskItem], done: Callable[[int], object]
    ) -> list[tuple[float, bool]]:
        """Log-probability of every question's target, and whether it is the greedy answer.

        The target's tokens are what the tokenizer makes of it alone: the model's answer begins
        with it. They are read one by one, as the model would write them, so that methods that act
        on generated tokens do so here.

        Args:
            questions: The questions, each with a target.
            done: As in `answers`.
        """
        return self._each(questions, self._score, done, (float("-inf"), False))

    def _answer(self, part: Sequence[TaskItem]) -> list[str]:
        length = part[0].max_new_tokens
        if part[0].kind == TEXT:
            answers = self._read(part, Tap(), length)
        else:
            answers = [
                trace.answer for trace in self._ask(part, UnrecordedMethod(self.method), length)
            ]
        return [cut_at(answer, asked.until) for answer, asked in zip(answers, part, strict=True)]

    def _score(self, part: Sequence[TaskItem]) -> list[tuple[float, bool]]:
        targets = [self._tokens(asked) for asked in part]
        said = Forced(UnrecordedMethod(self.method), targets)
        if part[0].kind == TEXT:
            tap = Tap()
            tap.guide = said.forcing(tap.guide)
            self._read(part, tap, max(map(len, targets)))
        else:
            self._ask(part, said, max(map(len, targets)))
        return said.outcomes()

    def _ask(self, part: Sequence[TaskItem], method: Method, max_new_tokens: int) -> list[Trace]:
        items = []
        for asked in part:
            context, question = split_text(asked.text)
            items.append(Question(asked.image, question, context))
        settings = replace(self.settings, max_new_tokens=max_new_tokens)
        return self.session.ask_batch(items, [method], settings)[method.name]

    def _read(self, part: Sequence[TaskItem], tap: Tap, max_new_tokens: int) -> list[str]:
        """Answers of the language model alone: a prompt whose image is taken out again."""
        backbone = self.session.backbone
        prompts = []
        for asked in part:
            context, question = split_text(asked.text)
            prompts.append(without_image(backbone.encode(_BLANK, question, context)))
        found = generate(backbone.model, backbone.collate(prompts), tap, max_new_tokens)
        decode = backbone.processor.tokenizer.decode
        return [
            decode([int(step[i]) for step in found.tokens[:length]], skip_special_tokens=True)
            for i, length in enumerate(found.finished_at.tolist())
        ]

    def _each(
        self,
        questions: Iterable[TaskItem],
        ask: Callable[[Sequence[TaskItem]], list[Result]],
        done: Callable[[int], object],
        nothing: Result,
    ) -> list[Result]:
        """Results in the order of the questions, in batches; `nothing` for what is skipped."""
        found: dict[int, Result] = {}
        for batch in self._batches(questions):
            part = list(batch.values())
            self.counts[part[0].kind] += len(part)
            if part[0].kind == OTHER:
                found |= dict.fromkeys(batch, nothing)
                done(len(part))
                continue
            try:
                results = ask(part)
            except InputError:
                if len(part) == 1:
                    raise
                # A method may look again at crops whose numbers of tokens differ.
                results = [ask([asked])[0] for asked in part]
            found |= zip(batch, results, strict=True)
            done(len(part))
        return [found[i] for i in range(len(found))]

    def _tokens(self, asked: TaskItem) -> list[int]:
        tokenizer = self.session.backbone.processor.tokenizer
        tokens = tokenizer(asked.target.strip(), add_special_tokens=False)["input_ids"]
        if not tokens:
            raise InputError(f"{asked.name} requests the likelihood of an empty text.")
        return tokens

    def _batches(self, questions: Iterable[TaskItem]) -> Iterator[dict[int, TaskItem]]:
        """Questions by number, with as many image tokens and the same longest answer."""
        waiting: dict[tuple[str, int, int], dict[int, TaskItem]] = {}
        for i, asked in enumerate(questions):
            asked.check()
            key = (asked.kind, asked.max_new_tokens, self._count(asked))
            waiting.setdefault(key, {})[i] = asked
            if len(waiting[key]) == self.batch_size:
                yield waiting.pop(key)
            elif len(waiting) > MAX_GROUPS:
                yield waiting.pop(max(waiting, key=lambda group: len(waiting[group])))
        yield from waiting.values()

    def _count(self, asked: TaskItem) -> int:
        """Number of an image's tokens, which depends on nothing but its size."""
        if self.batch_size == 1 or asked.kind != IMAGE:
            return 0
        image = asked.image
        if image.size not in self._num_tokens:
            prompt = self.session.backbone.encode(image, "What is this?")
            self._num_tokens[image.size] = len(prompt.image)
        return self._num_tokens[image.size]


def cut_at(answer: str, until: Sequence[str]) -> str:
    """An answer up to the first of some marks."""
    for mark in until:
        answer = answer.split(mark)[0]
    return answer.strip()


def split_text(text: str) -> tuple[str, str]:
    """Splits the text of a task into the context and the question.

    A question has at most `MAX_CHARACTERS`. Of a longer text the last part counts as the question;
    the model reads all of it.
    """
    text = text.replace(IMAGE_PLACEHOLDER, "").strip()
    if len(text) <= MAX_CHARACTERS:
        return "", text
    cut = text.find(" ", len(text) - MAX_CHARACTERS)
    if cut < 0 or cut > MAX_CONTEXT_CHARACTERS:
        raise InputError(
            f"A question has {len(text):,} characters and at most "
            f"{MAX_CHARACTERS + MAX_CONTEXT_CHARACTERS:,} are read: choose another task."
        )
    return text[:cut], text[cut + 1 :]
