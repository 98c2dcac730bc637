"""Writes tests/golden/resize/: a small image resized by Pillow, and through timm's evaluation transform.

Needs pillow >= 13 (the order of the two passes), numpy, torch, torchvision and timm. Files: source.ppm;
<filter>_<width>x<height>.ppm; <mode>_<filter>_<size>_<crop_pct in per mille>.f32, float32 of [3, size, size].
"""

import pathlib

import numpy
import timm.data
from PIL import Image

FOLDER = pathlib.Path(__file__).parent / "resize"
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# Both sides down (across first, down first), both up, one each, one unchanged, down to a single pixel.
SIZES = [(17, 13), (28, 7), (36, 31), (12, 30), (40, 9), (31, 11), (14, 23), (1, 1)]
TRANSFORMS = [
    ("center", "bicubic", 16, 0.875),
    ("center", "bilinear", 15, 1.0),
    ("squash", "lanczos", 12, 0.7),
]


def main():
    FOLDER.mkdir(exist_ok=True)
    # Noise reaches every overshoot of the filters; a smooth part and black and white edges are there as well.
    pixels = numpy.random.default_rng(7).integers(0, 256, (23, 31, 3), dtype=numpy.uint8)
    pixels[:8, :12] = numpy.arange(12, dtype=numpy.uint8)[None, :, None] * 20
    pixels[12:18, 4:16] = 0
    pixels[14:20, 18:28] = 255
    source = Image.fromarray(pixels)
    source.save(FOLDER / "source.ppm")
    for name, method in FILTERS.items():
        for width, height in SIZES:
            source.resize((width, height), method).save(FOLDER / f"{name}_{width}x{height}.ppm")
    for mode, name, size, crop_pct in TRANSFORMS:
        transform = timm.data.create_transform(
            (3, size, size), is_training=False, interpolation=name, crop_pct=crop_pct, crop_mode=mode
        )
        values = transform(source).numpy().astype("<f4")
        values.tofile(FOLDER / f"{mode}_{name}_{size}_{round(crop_pct * 1000)}.f32")


if __name__ == "__main__":
    main()
