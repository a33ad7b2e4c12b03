"""Flags that give a question: an image or a video with its words, or a generated scene."""

from __future__ import annotations

import argparse
from dataclasses import replace

from vif.errors import InputError
from vif.inputs.boxes import check_boxes
from vif.inputs.schema import QuestionInput
from vif.inputs.video import read_frames
from vif.question import Question
from vif.scenes import ask_scene, draw_scene


def add_question_flags(parser: argparse.ArgumentParser, takes_boxes: bool = True) -> None:
    """An image and a question, or a generated scene that brings both and the truth."""
    parser.add_argument("--image-file", help="image to ask about")
    parser.add_argument(
        "--other", nargs="+", metavar="FILE", help="other images to show; maps are for --image-file"
    )
    parser.add_argument(
        "--place", type=int, default=0, help="number of other images before it; default: 0"
    )
    parser.add_argument("--video", help="video to ask about, instead of an image")
    parser.add_argument(
        "--frames", type=int, default=8, help="number of frames to show; default: 8"
    )
    parser.add_argument(
        "--frame",
        type=int,
        help="index of the frame that maps are for, from 0; default: the middle one",
    )
    parser.add_argument("--query", help="the question")
    parser.add_argument("--context", default="", help="unrelated text before the question")
    if takes_boxes:
        parser.add_argument(
            "--box",
            type=float,
            nargs=4,
            action="append",
            metavar=("X0", "Y0", "X1", "Y1"),
            help="box of the answer, each side from 0 to 1; can be given several times",
        )
    parser.add_argument(
        "--scene", type=int, help="number of a generated scene, instead of an image"
    )
    parser.add_argument(
        "--question",
        type=int,
        default=0,
        help="index of the scene's question, if --query is not given",
    )


def question_of(args: argparse.Namespace) -> Question:
    """The question that the flags of `add_question_flags` give.

    Raises:
        InputError: If there is neither an image with a question nor a scene, or both, or if
            anything given is out of range.
    """
    sources = [args.scene, args.image_file, args.video]
    if sum(source is not None for source in sources) > 1:
        raise InputError("Give only one of --image-file, --video and --scene.")
    if args.scene is not None:
        found = _question_of_scene(args)
    elif args.query is not None and args.video is not None:
        found = _question_of_video(args)
    elif args.query is not None and args.image_file is not None:
        found = Question(args.image_file, args.query)
    else:
        raise InputError(
            "Give --image-file or --video with --query, or --scene for a generated picture."
        )
    if args.frame is not None and args.video is None:
        raise InputError("--frame is a frame of a video: give --video, or remove --frame.")
    if args.other or args.place:
        if args.video is not None:
            raise InputError(
                "Give either --video or --other and --place: the other images of a video are its "
                "frames."
            )
        found = replace(found, others=tuple(args.other or ()), place=args.place)
    boxes = getattr(args, "box", None) or []
    asked = QuestionInput.read({"question": found.text, "context": args.context, "look": boxes})
    check_boxes(asked.boxes)
    marked = tuple(asked.boxes) or None
    return replace(
        found, context=asked.context, boxes=found.boxes or marked, look=marked or found.boxes
    )


def _question_of_video(args: argparse.Namespace) -> Question:
    """A question about one frame of a video, the others beside it."""
    frames = read_frames(args.video, args.frames)
    chosen = len(frames) // 2 if args.frame is None else args.frame
    return Question.among([frame.image for frame in frames], chosen, args.query)


def _question_of_scene(args: argparse.Namespace) -> Question:
    """A question about a generated scene: one of its own questions, or the given one."""
    if args.scene < 0:
        raise InputError(f"--scene is {args.scene}, expected a number from 0.")
    scene = draw_scene(args.scene, "test")
    known = ask_scene(scene, args.scene)
    placed = [question for question in known if question.boxes]
    if args.query is not None:
        text = str(args.query).strip()
        question = next((one for one in known if one.text == text), None)
        if question is None:
            return Question(scene.image, text)
    elif 0 <= args.question < len(placed):
        question = placed[args.question]
    else:
        raise InputError(
            f"--question is {args.question}, but scene {args.scene} has questions 0 to "
            f"{len(placed) - 1}."
        )
    boxes = question.boxes_on(scene) or None
    return Question(scene.image, question.text, boxes=boxes, answer=question.answer)
