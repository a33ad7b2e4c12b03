"""Other images beside the picture, and videos with a slider for the frame."""

import threading

import cv2
import gradio as gr
import numpy as np
import pytest
from PIL import Image

from tests.support.asking import session_of
from tests.support.fake_page import form, wired
from vif.errors import InputError
from vif.inputs.video import read_frames
from vif.ui.actions import beside
from vif.ui.actions.ask import answer
from vif.ui.features.form import Filling
from vif.ui.panels.controls import FRAME_LABEL, PLACE_LABEL
from vif.ui.sharing.links import share
from vif.ui.state.form import FRAMES, MOST_BESIDE
from vif.ui.state.payload import _answer
from vif.ui.state.saved import from_bundle, to_bundle
from vif.ui.state.view import View


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beside")
    for number in range(3):
        Image.new("RGB", (80, 60), (number * 80, 40, 90)).save(folder / f"{number}.png")
    writer = cv2.VideoWriter(
        str(folder / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 64)
    )
    for number in range(16):
        writer.write(np.full((64, 96, 3), number * 15, np.uint8))
    writer.release()
    (folder / "words.png").write_text("no image")
    return folder


@pytest.fixture
def filling():
    return Filling(wired())


def asked(**changes):
    ranges = {"learning_start": 1, "learning_end": 2, "injection_start": 3, "injection_end": 5}
    filled = form(max_new_tokens=2, **ranges, **changes)
    found = answer(session_of("llava"), filled, [], threading.Event())
    assert found is not None
    return found


def test_images_are_put_in_their_order_and_the_slider_says_where_the_picture_is(folder, filling):
    files = [str(folder / f"{number}.png") for number in range(2)]
    updates = filling.put_beside(files)
    slider = updates[filling.wiring.field("number")]
    assert (slider.maximum, slider.value, slider.visible) == (3, 1, True)
    assert slider.label == PLACE_LABEL
    assert filling.wiring.field("image") not in updates
    assert filling.wiring.field("image") not in filling.choose_frame(files, 2)
    question = form(beside=files, number=2).about()
    assert (list(question.others), question.place) == (files, 1)


def test_a_frame_of_a_video_becomes_the_picture(folder, filling):
    video = str(folder / "clip.avi")
    frames = read_frames(video, FRAMES)
    for updates, number in (
        (filling.put_beside([video]), FRAMES // 2 + 1),
        (filling.choose_frame([video], 3), 3),
    ):
        slider = updates[filling.wiring.field("number")]
        assert (slider.maximum, slider.value, slider.label) == (FRAMES, number, FRAME_LABEL)
        assert f"{frames[number - 1].seconds:.1f} s" in slider.info
        picture = updates[filling.wiring.field("image")]
        assert np.array_equal(np.asarray(picture), np.asarray(frames[number - 1].image))
        assert updates[filling.wiring.truths] == []
    question = form(image=picture, beside=[video], number=3).about().opened()
    shown = [*question.beside[:2], question.picture, *question.beside[2:]]
    assert question.place == 2
    for one, frame in zip(shown, frames, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(frame.image))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["clip.avi", "0.png"], "Give either other images or one video"),
        (["0.png"] * (MOST_BESIDE + 1), "8 other images were given, expected at most 7"),
        (["words.png"], "is not an image in a known format"),
    ],
)
def test_what_cannot_be_put_beside_gives_one_sentence(folder, filling, names, words):
    files = [str(folder / name) for name in names]
    with pytest.raises(InputError, match=words):
        beside.read_beside(files)
    updates = filling.put_beside(files)
    assert words in updates[filling.wiring.controls.message]


def test_answers_tell_the_attention_on_other_images(folder):
    files = [str(folder / f"{number}.png") for number in range(2)]
    result = asked(beside=files, number=2)
    trace = result.traces["plain"]
    assert (trace.meta["images"], trace.meta["image"]) == (3, 1)
    shown = _answer("plain", "a", result, True)["others"]
    assert np.allclose(shown[0], trace.mass[0, ..., 4].mean(1), atol=1e-3)
    alone = asked()
    assert _answer("plain", "a", alone, True)["others"] is None


def test_command_and_program_name_the_other_images(folder):
    files = [str(folder / f"{number}.png") for number in range(2)]
    told = share(asked(beside=files, number=2), View(), session_of("llava").defaults, [])
    assert "--other 0.png 1.png --place 1" in told.command
    assert "others=['0.png', '1.png'], place=1" in told.python
    compile(told.python, "told", "exec")
    video = [str(folder / "clip.avi")]
    told = share(asked(beside=video, number=3), View(), session_of("llava").defaults, [])
    assert "--video clip.avi --frames 8 --frame 2" in told.command
    compile(told.python, "told", "exec")


def test_a_saved_result_says_that_other_images_are_gone(folder):
    result = asked(beside=[str(folder / "0.png")])
    opened, _ = from_bundle(to_bundle(result, View()))
    assert "given to 2 images" in opened.note
    assert not from_bundle(to_bundle(asked(), View()))[0].note


def test_a_new_scene_comes_alone(filling):
    updates = filling.draw_scene()
    assert updates[filling.wiring.field("beside")] is None
    slider = updates[filling.wiring.field("number")]
    assert isinstance(slider, gr.Slider)
    assert slider.value == 1
