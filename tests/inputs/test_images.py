"""Every image source becomes upright 8-bit RGB, or is refused in one sentence."""

import io
import os
import subprocess
import sys
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from vif.errors import InputError
from vif.inputs.images import MAX_PIXELS, MAX_SIDE, open_image

RED, WHITE = (255, 0, 0), (255, 255, 255)
LOSSLESS = ["PNG", "BMP", "GIF", "TIFF", "PPM"]
ALL_FORMATS = [*LOSSLESS, "JPEG", "WEBP"]
ORIENTATION = 0x0112


@pytest.fixture(autouse=True)
def _no_warning_escapes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def picture():
    """A noisy 40 x 30 image, so that its file is long enough to be truncated."""
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def encode(image, file_format, **options):
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def refusal(source):
    """The message that `source` is refused with: one sentence that names a cure."""
    with pytest.raises(InputError) as caught:
        open_image(source)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert ": " in sentence
    return sentence


# Sources


def test_path_string_bytes_image_and_array_give_the_same_pixels(picture, tmp_path):
    path = tmp_path / "scene.png"
    picture.save(path)
    sources = [path, str(path), path.read_bytes(), picture, np.asarray(picture)]
    for source in sources:
        result = open_image(source)
        assert result.mode == "RGB"
        assert np.array_equal(np.asarray(result), np.asarray(picture))


@pytest.mark.parametrize("file_format", ALL_FORMATS)
def test_common_formats_open(picture, file_format):
    assert open_image(encode(picture, file_format)).size == picture.size


def test_given_image_is_neither_changed_nor_shared(picture):
    picture.info["note"] = "kept"
    before = picture.tobytes()
    result = open_image(picture)
    result.paste(RED, (0, 0, 10, 10))
    assert picture.tobytes() == before
    assert picture.info == {"note": "kept"}
    assert "note" not in result.info


def test_large_given_image_keeps_its_size():
    image = Image.new("RGB", (MAX_SIDE + 1, 2))
    assert open_image(image).size == (MAX_SIDE, 2)
    assert image.size == (MAX_SIDE + 1, 2)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc to count open files")
def test_no_file_stays_open(picture, tmp_path):
    good, cut = tmp_path / "good.gif", tmp_path / "cut.png"
    picture.save(good)
    cut.write_bytes(encode(picture, "PNG")[:200])
    before = len(os.listdir("/proc/self/fd"))
    result = open_image(good)
    refusal(cut)
    assert len(os.listdir("/proc/self/fd")) == before
    assert result.getpixel((0, 0))


# Orientation, modes, transparency


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photo_is_turned_the_way_the_camera_was_held(orientation):
    stored = Image.new("RGB", (64, 32), "white")
    stored.paste(RED, (0, 0, 16, 16))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    result = open_image(encode(stored, "PNG", exif=exif))
    assert result.size == ((64, 32) if orientation <= 4 else (32, 64))
    right, bottom = result.width - 1, result.height - 1
    # EXIF 2.3, tag 0x0112: where the stored top left corner belongs.
    corner = {
        1: (0, 0), 2: (right, 0), 3: (right, bottom), 4: (0, bottom),
        5: (0, 0), 6: (right, 0), 7: (right, bottom), 8: (0, bottom),
    }[orientation]  # fmt: skip
    assert result.getpixel(corner) == RED
    assert result.getexif().get(ORIENTATION) is None


def test_unreadable_orientation_leaves_the_image_as_stored(picture):
    data = encode(picture, "JPEG", exif=b"Exif\0\0garbage that is no EXIF block")
    assert open_image(data).size == picture.size


def test_cmyk_becomes_rgb():
    result = open_image(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert np.allclose(np.asarray(result), RED, atol=6)


def ramp16():
    return np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bit_grey_file_is_scaled_and_not_clipped(file_format):
    grey = np.asarray(open_image(encode(Image.fromarray(ramp16()), file_format)))[..., 0]
    assert np.abs(grey - ramp16() / 257).max() <= 0.5


def test_big_endian_16_bit_grey_is_scaled():
    stored = Image.frombytes("I;16B", (8, 8), ramp16().astype(">u2").tobytes())
    grey = np.asarray(open_image(stored))[..., 0]
    assert np.abs(grey - ramp16() / 257).max() <= 0.5


@pytest.mark.parametrize(("high", "expected"), [(65535, 255), (255, 255), (32768, 128)])
def test_32_bit_grey_holds_16_bit_or_8_bit_values(high, expected):
    stored = np.array([[0, high]], dtype=np.int32)
    assert open_image(Image.fromarray(stored)).getpixel((1, 0)) == (expected,) * 3


def test_32_bit_grey_beyond_16_bits_is_refused():
    sentence = refusal(Image.fromarray(np.array([[0, 70000]], dtype=np.int32)))
    assert "0 to 70000" in sentence


def test_float_grey_image_is_scaled():
    stored = Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32))
    assert np.asarray(open_image(stored))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("file_format", ["PNG", "GIF", "WEBP"])
def test_transparent_pixels_become_white(file_format):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.paste((*RED, 255), (0, 0, 2, 4))
    options = {"lossless": True} if file_format == "WEBP" else {}
    result = open_image(encode(image, file_format, **options))
    assert result.getpixel((0, 0)) == RED
    assert result.getpixel((3, 3)) == WHITE


def test_half_transparent_pixels_are_mixed_with_white():
    assert open_image(Image.new("RGBA", (1, 1), (0, 0, 0, 128))).getpixel((0, 0)) == (127,) * 3


def test_grey_with_transparency_is_laid_on_white():
    assert open_image(Image.new("LA", (2, 2), (0, 0))).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("transparency", [0, bytes([0, 255])])
def test_palette_with_transparency_is_laid_on_white(transparency):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, *RED])
    image.putpixel((1, 0), 1)
    result = open_image(encode(image, "PNG", transparency=transparency))
    assert [result.getpixel((x, 0)) for x in range(2)] == [WHITE, RED]


def test_transparent_colour_of_a_file_without_alpha_is_laid_on_white():
    data = encode(Image.new("RGB", (2, 2), RED), "PNG", transparency=RED)
    assert open_image(data).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "HSV", "RGBX", "PA"])
def test_other_modes_become_rgb(mode):
    assert open_image(Image.new(mode, (3, 2))).mode == "RGB"


def test_1_bit_is_black_and_white():
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    result = open_image(encode(image, "PNG"))
    assert [result.getpixel((x, 0)) for x in range(2)] == [(0, 0, 0), WHITE]


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation_counts(file_format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encode(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert open_image(data).getpixel((4, 4)) == RED


# Arrays


@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
@pytest.mark.parametrize(
    ("dtype", "full"), [("uint8", 255), ("uint16", 65535), (">u2", 65535), ("bool", 1),
                        ("float16", 1), ("float32", 1), ("float64", 1)],
)  # fmt: skip
def test_array_is_scaled_from_the_range_of_its_dtype(channels, dtype, full):
    array = np.zeros((2, 3, *channels), dtype=dtype)
    array[:, 1:] = full
    result = open_image(array)
    assert result.size == (3, 2)
    assert result.getpixel((2, 1)) == WHITE
    # The fourth channel is opacity: nothing is opaque in the first column.
    assert result.getpixel((0, 0)) == (WHITE if channels == (4,) else (0, 0, 0))


def test_array_view_that_is_not_contiguous_opens():
    array = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)[::-1, ::2]
    assert np.array_equal(np.asarray(open_image(array)), array)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0, 3), (0, 0)])
def test_empty_array_is_refused(shape):
    assert "empty" in refusal(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(), (5,), (3, 8, 8), (8, 8, 2), (1, 8, 8, 3)])
def test_array_of_another_shape_is_refused(shape):
    assert "shape" in refusal(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_array_with_a_value_that_is_not_a_number_is_refused(value):
    array = np.zeros((4, 4, 3), np.float32)
    array[1, 2, 0] = value
    assert "NaN" in refusal(array)


@pytest.mark.parametrize(("low", "high"), [(0, 255), (-1, 1)])
def test_floats_outside_0_to_1_are_refused(low, high):
    assert f"from {low} to {high}" in refusal(np.array([[low, high]], np.float32))


@pytest.mark.parametrize("dtype", ["int64", "uint32", "complex64", "object"])
def test_array_of_another_dtype_is_refused(dtype):
    assert dtype in refusal(np.zeros((4, 4), dtype))


# What cannot be opened


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"<svg/>", b"%!PS-Adobe"])
def test_data_that_is_not_an_image_is_refused(data):
    assert "is not an image" in refusal(data)


def test_format_that_starts_another_program_is_refused(picture):
    assert "is not an image in a known format" in refusal(encode(picture, "EPS"))


def test_file_that_is_not_an_image_is_refused_by_its_name(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("not an image")
    sentence = refusal(path)
    assert "'notes.png' is not an image" in sentence
    assert str(tmp_path) not in sentence


@pytest.mark.parametrize("file_format", [*ALL_FORMATS, "AVIF", "JPEG2000", "ICO"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_file_is_refused(picture, file_format, share):
    data = encode(picture, file_format)
    sentence = refusal(data[: int(len(data) * share)])
    assert "is damaged or cut off" in sentence or "is not an image" in sentence


def test_damaged_files_raise_nothing_but_input_error(picture):
    rng = np.random.default_rng(1)
    for file_format in ALL_FORMATS:
        data = np.frombuffer(encode(picture, file_format), np.uint8)
        for _ in range(60):
            damaged = data.copy()
            damaged[rng.integers(0, min(len(data), 200), 5)] = rng.integers(0, 256, 5)
            try:
                assert open_image(damaged.tobytes()).mode == "RGB"
            except InputError:
                continue


def test_missing_file_is_refused(tmp_path):
    assert "There is no file" in refusal(tmp_path / "absent.png")


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_folder_is_refused(name):
    assert "is a folder" in refusal(name)


@pytest.mark.parametrize("name", ["a\0b.png", "https://example.org/cat.png", "x" * 5000])
def test_text_that_is_no_path_is_refused_in_one_sentence(name):
    assert len(refusal(name)) < 200


@pytest.mark.parametrize("source", [None, 7, [1, 2], {"path": "a.png"}])
def test_another_type_is_refused_by_its_name(source):
    assert type(source).__name__ in refusal(source)


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_image_without_pixels_is_refused(size):
    assert "is empty" in refusal(Image.new("RGB", size))


def test_closed_image_is_refused(picture, tmp_path):
    picture.save(tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    image.close()
    refusal(image)


# Size


def bitmap_header(width, height):
    """A BMP with only a header, which claims a size."""
    data = bytearray(encode(Image.new("L", (1, 1)), "BMP"))
    data[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    return bytes(data)


def png_header(width, height):
    """A PNG with only a header, whose checksum is right."""
    data = bytearray(encode(Image.new("L", (1, 1)), "PNG"))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data[:45])


@pytest.mark.parametrize("size", [(10_001, 10_000), (12_000, 12_000), (60_000, 60_000)])
def test_image_over_the_pixel_limit_is_refused_before_it_is_decoded(size):
    assert "at most 100 megapixels can be opened: make it smaller." in refusal(png_header(*size))


@pytest.mark.parametrize("size", [(8_001, 5_000), (10_000, 10_000)])
def test_fewer_pixels_are_read_where_decoding_copies_them(size):
    cure = "at most 40 megapixels can be opened: make it smaller, or save it as JPEG."
    assert cure in refusal(bitmap_header(*size))
    assert "damaged" in refusal(bitmap_header(8_000, 5_000))


def test_array_over_the_pixel_limit_is_refused():
    assert "megapixels" in refusal(np.broadcast_to(np.uint8(0), (MAX_PIXELS + 1, 1)))


def test_image_between_pillows_warning_and_the_limit_gives_no_warning():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert "damaged" in refusal(png_header(9_900, 10_000))
    assert not caught


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_wide_image_is_shrunk_in_proportion(mode):
    result = open_image(encode(Image.new(mode, (20_000, 500)), "PNG"))
    assert result.size == (MAX_SIDE, round(500 * MAX_SIDE / 20_000))
    assert result.mode == "RGB"


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (MAX_SIDE, 3)])
def test_thin_images_open_as_they_are(size):
    assert open_image(encode(Image.new("RGB", size), "PNG")).size == size


@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1)])
def test_thin_images_never_shrink_to_nothing(size):
    result = open_image(Image.new("RGB", size, "red"))
    assert sorted(result.size) == [1, MAX_SIDE]
    assert result.getpixel((0, 0)) == RED


# Several people at once


def test_threads_open_images_independently(picture):
    data = {}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        data[orientation] = encode(picture, "PNG", exif=exif)
    alone = {key: open_image(value).tobytes() for key, value in data.items()}
    together = {}

    def work(key):
        for _ in range(5):
            together[key] = open_image(data[key]).tobytes()

    threads = [threading.Thread(target=work, args=(key,)) for key in data]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


LARGE = (8400, 6000)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_large_picture_is_never_held_twice(form, tmp_path):
    """50 megapixels are 151 MB as RGB; a JPEG is decoded smaller, a PNG once."""
    path = tmp_path / f"large.{form.lower()}"
    Image.new("RGB", LARGE, (200, 40, 40)).save(path, form)
    program = (
        "import resource, sys; from vif.inputs.images import open_image; "
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
        "before = peak(); image = open_image(sys.argv[1]); "
        "print(peak() - before, *image.size, *image.getpixel((0, 0)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    grown, *rest = map(int, found.stdout.split())
    unit = 1024 if sys.platform == "darwin" else 1
    assert grown / unit < {"JPEG": 140_000, "PNG": 290_000}[form]
    assert rest[:2] == [4096, 2926]
    np.testing.assert_allclose(rest[2:], (200, 40, 40), rtol=0, atol=4)


def test_a_large_photograph_is_upright(tmp_path):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (8400, 2800), "red")
    picture.paste("blue", (0, 0, 4200, 2800))
    picture.save(path, exif=exif)
    found = open_image(path)
    assert found.size == (1365, 4096)
    assert found.getpixel((600, 100))[2] > 200
    assert found.getpixel((600, 4000))[0] > 200
