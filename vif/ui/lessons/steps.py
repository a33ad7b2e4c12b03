"""The text of the lessons, as data, and the worksheet that is printed from it."""

from __future__ import annotations

from dataclasses import dataclass

MINUTES = 20


@dataclass(frozen=True)
class Step:
    """One step: predict, reveal, question.

    Attributes:
        number: From 1.
        title: The idea in a few words.
        example: Label of the example it is about.
        predict: What the class is asked before anything is shown.
        control: The one control, and what it does.
        notice: What to see once it is shown.
        question: What to discuss.
        notes: For the teacher.
    """

    number: int
    title: str
    example: str
    predict: str
    control: str
    notice: tuple[str, ...]
    question: str
    notes: tuple[str, ...]


STEPS = (
    Step(
        1,
        "Where would you look?",
        "Fixed by VIF",
        "Read the question and draw a box on the picture where you would look for the answer. No "
        "answer is shown yet.",
        "Drag on the picture to draw a box.",
        (
            "The place to look at is not the object that the question names: the name only says "
            "where to start.",
            "You found it in two steps: find the named object, then go on from there.",
        ),
        "Which words of the question did you use to find the object that is named, and which to "
        "go on from it?",
        (
            "Collect boxes from several students before you reveal the place; draw the one that "
            "most agree on.",
            "The box is kept for step 2.",
        ),
    ),
    Step(
        2,
        "What the model says, and where it looked",
        "Fixed by VIF",
        "Will the unsteered model give the right answer? Where will it look?",
        "Reveal the model's answer and its attention over the picture.",
        (
            "The model is wrong, and confident: look at its probability.",
            "Compare the share of its attention in the true place with the share that uniform "
            "attention over the whole picture would put there.",
        ),
        "If you could tell the model one thing about the picture, what would it be?",
        (
            "Attention is a share: over picture and text together it adds up to 100 %.",
            "Attention shows what was read, but not why the model gave this answer; step 8 "
            "returns to this.",
        ),
    ),
    Step(
        3,
        "Layer by layer: sharp, then blurred",
        "Not needed",
        "The model has several layers. In which of them does it look at the right place: the "
        "first, the middle, or the last?",
        "Slide through the layers, or press Play.",
        (
            "An early layer looks sharply at the right place.",
            "Deep layers still attend to the picture, but their attention is spread over all of "
            "it: the place is lost.",
        ),
        "The answer is computed from the last layer. Why might it matter that this layer no "
        "longer looks at the place?",
        (
            "Two things fall with depth; distinguish them: how much attention goes to the "
            "picture at all, and how much of that goes to the right place.",
            "The answer is still right: later layers carry what an early layer read.",
        ),
    ),
    Step(
        4,
        "More text, less picture",
        "Lost in text",
        "Unrelated text is put between picture and question. What will happen to the share of "
        "attention that the picture gets? And to the answer?",
        "Move the slider to change the length of the text from 0 to 384 tokens.",
        (
            "The picture's share falls as the text grows.",
            "The plain model is right at fewer lengths than VIF.",
        ),
        "The text says nothing about the picture. Why does it still change what the model does?",
        (
            "This is visual attenuation, the problem that VIF addresses.",
            "When you press Reveal, the question is asked at all lengths, with the same text "
            "cut to each length.",
            "An answer such as a2 is a cell of a 4 x 4 grid: a1 is top left, d4 bottom right.",
        ),
    ),
    Step(
        5,
        "Prior and posterior",
        "Fixed by VIF",
        "VIF predicts where to look from the picture and the question. If it knew the answer, "
        "would it look elsewhere?",
        "Choose an answer: the map on the right shows where VIF would look if it knew that answer.",
        (
            "On the left is the prior: a prediction without the answer. Thin rings are samples "
            "of it.",
            "On the right is the posterior: the prior times the likelihood of that answer for "
            "attention to each place. Compare the right answer with the wrong one.",
            "If no answer moves the map much, the question alone determines where VIF looks.",
        ),
        "Why can VIF not use the posterior when it answers?",
        (
            "During training, VIF sees the answers; the prior learns from them which places "
            "make an answer likely.",
            "Overlap and KL describe a posterior that the adapter learned to compute in one "
            "pass. It hardly differs from the prior; docs/answers.md explains why.",
        ),
    ),
    Step(
        6,
        "VIF, component by component",
        "Fixed by VIF",
        "VIF adds its map to the deep layers' attention. The map is a sum of round blobs. What "
        "happens to the answer when the strongest blobs are taken away?",
        "Move the slider to mute more blobs, the strongest first.",
        (
            "With all blobs the answer is right; with none it is the plain model's answer.",
            "In between, the probability of the right word falls: the map is what changes the "
            "answer.",
        ),
        "Is this better evidence that the map matters than a picture of the map? Why?",
        (
            "An intervention changes one thing and observes the answer; a picture alone cannot "
            "show a cause.",
            "On the Components tab of the page you can also drag every blob.",
        ),
    ),
    Step(
        7,
        "Where VIF does harm",
        "Broken by VIF",
        "Can more attention to the picture make an answer worse?",
        "Switch between the plain model and VIF.",
        (
            "The plain model is right here, and with VIF the answer is wrong.",
            "Over the whole benchmark VIF fixes more answers than it breaks. A uniform or a "
            "random map of the same strength breaks more than it fixes.",
        ),
        "Which numbers in the table would you want to see before you believe that a method helps?",
        (
            "The controls answer two objections: that any disturbance would help, and that more "
            "attention to the picture would help wherever it goes.",
            "The true place is the upper bound: what a perfect map would achieve.",
        ),
    ),
    Step(
        8,
        "What attention is not",
        "Not needed",
        "A layer gives most of its attention to the picture. Does the answer depend on what "
        "this layer reads there?",
        "Move the slider to hide a larger share of the picture.",
        (
            "Hiding the few places with the most attention destroys the answer; hiding as many "
            "random places does not.",
            "When the deep layers are cut off from the picture, almost nothing changes, "
            "although they give it much of their attention.",
        ),
        "What does high attention tell you, and what does it not tell you?",
        (
            "Hidden means that no layer can read these places; nothing is painted over.",
            "Attention shows where a model may read from. Only an intervention shows what "
            "the answer depends on.",
        ),
    ),
)


def sheet() -> str:
    """The printable sheet, in Markdown."""
    parts = [
        "# Lessons: where a model looks",
        "",
        f"Eight steps, about {MINUTES} minutes. Start the page (`make demo`) and open the address "
        "of a step; add `&projector=1` to enlarge everything. If the page is served elsewhere, its "
        "address takes the same `?lesson=` and number. Every step asks for a prediction before it "
        "shows anything. Nothing is prerecorded: the model answers in class.",
    ]
    for step in STEPS:
        parts += [
            "",
            f"## {step.number}. {step.title}",
            "",
            f"Open <http://127.0.0.1:7860/?lesson={step.number}>. Example: *{step.example}*.",
            "",
            f"**Predict.** {step.predict}",
            "",
            "Our prediction: " + 30 * ".",
            "",
            f"**Reveal.** {step.control}",
            "",
            "**What to notice**",
            "",
            *(f"- {line}" for line in step.notice),
            "",
            f"**Question.** {step.question}",
            "",
            "**Teacher's notes**",
            "",
            *(f"- {line}" for line in step.notes),
        ]
    return "\n".join(parts) + "\n"
