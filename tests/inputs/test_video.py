"""Frames are the middles of equal parts; anything but a video is refused in one sentence."""

import cv2
import numpy as np
import pytest
from PIL import Image

from vif.errors import InputError
from vif.inputs import video
from vif.inputs.video import MOST_FRAMES, read_frames

RATE, LENGTH = 10, 20


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A video of two seconds whose frames become redder."""
    return film(tmp_path_factory.mktemp("clip") / "clip.avi")


def film(path, length=LENGTH):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (96, 64))
    for number in range(length):
        writer.write(np.full((64, 96, 3), (0, 0, number * 12), np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize("count", [1, 4, 20])
def test_frames_are_the_middles_of_equal_parts(clip, count):
    frames = read_frames(clip, count)
    wanted = [int((i + 0.5) * LENGTH / count) for i in range(count)]
    assert [frame.seconds for frame in frames] == pytest.approx([n / RATE for n in wanted])
    reds = [int(np.asarray(frame.image)[32, 48, 0]) for frame in frames]
    assert np.allclose(reds, [number * 12 for number in wanted], atol=4)
    assert {frame.image.size for frame in frames} == {(96, 64)}


def test_a_recording_of_a_browser_has_no_length_and_is_counted(tmp_path):
    writer = cv2.VideoWriter(
        str(tmp_path / "whole.webm"), cv2.VideoWriter.fourcc(*"VP80"), RATE, (96, 64)
    )
    for number in range(LENGTH):
        writer.write(np.full((64, 96, 3), (0, 0, number * 12), np.uint8))
    writer.release()
    known = (tmp_path / "whole.webm").read_bytes()
    # The element Duration (0x4489) becomes one that is skipped (0xEC, Void).
    assert known.count(b"\x44\x89\x88") == 1
    start = known.index(b"\x44\x89\x88")
    (tmp_path / "live.webm").write_bytes(known[:start] + b"\xec\x89" + known[start + 2 :])
    capture = cv2.VideoCapture(str(tmp_path / "live.webm"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) < 1
    frames = read_frames(tmp_path / "live.webm", 4)
    assert [frame.seconds for frame in frames] == pytest.approx([0.2, 0.7, 1.2, 1.7])
    reds = [int(np.asarray(frame.image)[32, 48, 0]) for frame in frames]
    assert np.allclose(reds, [24, 84, 144, 204], atol=8)


def test_a_recording_that_goes_on_too_long_is_refused(clip, monkeypatch):
    monkeypatch.setattr(video, "MOST_DECODED", LENGTH - 1)
    with pytest.raises(InputError, match="has 20 frames of 96 x 64 pixels, expected at most 19"):
        read_frames(clip, 4)


def test_a_short_video_gives_each_frame_once(tmp_path):
    assert len(read_frames(film(tmp_path / "short.avi", 3), 8)) == 3


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.mp4", None, "There is no file 'none.mp4'"),
        ("text.mp4", b"#EXTM3U\nfile:///etc/passwd", "not a video in a known format"),
        ("empty.mp4", b"", "not a video in a known format"),
        ("broken.mp4", b"\0\0\0\x18ftypisom" + b"\0" * 64, "cannot be decoded"),
    ],
)
def test_what_is_not_a_video_is_refused(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as error:
        read_frames(tmp_path / name, 4)
    assert str(tmp_path) not in str(error.value)


def test_a_picture_is_not_a_video(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    with pytest.raises(InputError, match="not a video in a known format"):
        read_frames(tmp_path / "picture.png", 4)


@pytest.mark.parametrize("count", [0, MOST_FRAMES + 1])
def test_too_few_or_too_many_frames_are_refused(clip, count):
    with pytest.raises(InputError, match=f"{count} frames were asked for"):
        read_frames(clip, count)


def test_a_cut_off_video_gives_what_is_left_or_a_sentence(clip, tmp_path):
    whole = clip.read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    try:
        frames = read_frames(tmp_path / "cut.avi", 4)
    except InputError:
        return
    assert 1 <= len(frames) <= 4
