"""Images as people have them: opened one way everywhere, whatever mode and size; whose face counts."""

import io

import numpy as np
import pytest
from PIL import Image, features

from fairdemo.audit import folders
from fairdemo.data.item import DAMAGED, TOO_LARGE, decoded
from fairdemo.readers import open_image as opening
from fairdemo.readers.detect import Detector, area_inside, find_subject
from fairdemo.readers.open_image import open_image
from tests.test_faces import FAIRFACE, needs_photographs


def stored(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def ramp() -> Image.Image:
    """From black to white, to the right."""
    return Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (64, 1)))


def mean(image: Image.Image) -> float:
    return float(np.asarray(image, float).mean())


def test_sixteen_bits_are_scaled_and_not_cut():
    wide = Image.fromarray((np.asarray(ramp(), np.uint32) * 257).astype(np.uint16))
    found = open_image(stored(wide, format="PNG"))
    assert (
        found.mode == "RGB"
        and np.abs(np.asarray(found.convert("L"), float) - np.asarray(ramp(), float)).max() <= 1
    )


FORMATS = ({"format": "TIFF"}, {"format": "BMP"}, {"format": "GIF"}, {"format": "WEBP", "lossless": True})


@pytest.mark.parametrize("options", FORMATS)
def test_formats_that_people_have(options):
    assert mean(open_image(stored(ramp().convert("RGB"), **options))) == pytest.approx(127.5, abs=2)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_opens():
    assert mean(open_image(stored(ramp().convert("RGB"), format="AVIF"))) == pytest.approx(127.5, abs=2)


def test_turned_by_its_flag_transparent_on_grey_first_of_several_frames():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_image(stored(ramp().convert("RGB"), format="JPEG", exif=exif)).size == (64, 256)
    nothing = Image.new("RGBA", (30, 30), (255, 0, 0, 0))
    assert np.asarray(open_image(stored(nothing, format="PNG"))).reshape(-1, 3).max(0).tolist() == [128] * 3
    frames = [Image.new("RGB", (30, 30), colour) for colour in ("red", "blue")]
    moving = stored(frames[0], format="GIF", save_all=True, append_images=frames[1:])
    assert open_image(moving).getpixel((5, 5))[0] > 200


def test_what_cant_be_opened_is_said_in_a_line(monkeypatch, tmp_path):
    whole = stored(ramp().convert("RGB"), format="PNG")
    for content, why in ((b"", "no image"), (b"<svg></svg>", "no image"), (whole[:60], "damaged")):
        with pytest.raises(ValueError, match=why) as error:
            open_image(content)
        assert "\n" not in str(error.value) and decoded(content) == DAMAGED
    (tmp_path / "photo.png").write_bytes(whole[:60])
    said = folders.opened(tmp_path / "photo.png")
    assert isinstance(said, str) and said.startswith("photo.png can't be opened: it is damaged")
    monkeypatch.setattr(opening, "MAX_PIXELS", 1000)
    with pytest.raises(ValueError, match="256 x 64 pixels; at most 1,000"):
        open_image(whole)
    assert decoded(whole) == TOO_LARGE


def test_large_images_are_brought_down_and_not_refused(tmp_path):
    (tmp_path / "large.jpg").write_bytes(stored(Image.new("RGB", (6000, 4000), "green"), format="JPEG"))
    assert folders.opened(tmp_path / "large.jpg").size == (1024, 683)


def test_thin_and_tiny_images_have_no_face_and_end_nothing():
    sizes = ((1, 1), (728, 40), (1600, 90), (90, 1600), (19, 19), (2000, 30), (60, 60))
    assert Detector().detect([Image.new("RGB", size, "grey") for size in sizes]) == [[]] * len(sizes)


def test_boxes_count_as_far_as_they_lie_in_the_picture():
    assert area_inside((-50, 10, 50, 110), (200, 200)) == 5000 and area_inside((-9, -9, -1, -1), (5, 5)) == 0


def test_the_face_in_the_middle_is_the_one_that_a_label_is_about():
    """A larger one that the edge cuts is a neighbour's."""
    neighbour, own, speck = (-60, 0, 120, 200), (150, 130, 300, 310), (220, 220, 228, 228)
    assert find_subject([neighbour, own, speck], (448, 448)) == 1
    assert find_subject([(0, 0, 60, 60), (5, 5, 20, 20)], (448, 448)) == 0


@needs_photographs
def test_nobody_elses_face_is_read_in_labelled_photographs():
    """In 8 of 180 the largest box is a neighbour's; the labelled face stands in the middle of each."""
    images = [Image.open(p) for p in sorted((FAIRFACE / "images").glob("*.jpg"))]
    found = [faces for k in range(0, len(images), 30) for faces in Detector().detect(images[k : k + 30])]
    wrong = 0
    for image, faces in zip(images, found):
        boxes = [f.box for f in faces]
        away = [np.hypot(b[0] + b[2] - image.width, b[1] + b[3] - image.height) for b in boxes]
        wrong += bool(boxes) and find_subject(boxes, image.size) != int(np.argmin(away))
    assert len(images) == 180 and wrong <= 1
