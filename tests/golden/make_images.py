"""Writes tests/golden/images/: small JPEG and PNG files of every kind, each with the RGB pixels Pillow decodes.

Needs pillow and numpy. <name>.jpg or <name>.png, and <name>.ppm beside it. What Pillow cannot write (16 bits with
alpha, interlacing) is written here by hand.
"""

import io
import pathlib
import struct
import zlib

import numpy
from PIL import Image

FOLDER = pathlib.Path(__file__).parent / "images"
WIDTH, HEIGHT = 21, 15


def picture(channels, largest=255):
    """A smooth pattern that fills the range, different in each channel: [HEIGHT, WIDTH, channels]."""
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [
        0.5 + 0.5 * numpy.sin(0.21 * (c + 1) * x + 0.35 * y * (1 if c % 2 else -1) + c) for c in range(channels)
    ]
    return numpy.rint(numpy.stack(planes, -1) * largest).astype(numpy.uint16 if largest > 255 else numpy.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, color_type, depth, interlaced=False, extra=b""):
    """A PNG file of samples [height, width, channels]; rows are unfiltered."""
    height, width, _ = samples.shape
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    raw = b""
    for x0, y0, dx, dy in passes:
        part = samples[y0::dy, x0::dx]
        if part.shape[1] == 0:
            continue
        for row in part:
            if depth == 16:
                line = row.astype(">u2").tobytes()
            elif depth == 8:
                line = row.astype(numpy.uint8).tobytes()
            else:
                bits = ((row.ravel()[:, None] >> numpy.arange(depth - 1, -1, -1)) & 1).astype(numpy.uint8)
                line = numpy.packbits(bits.ravel()).tobytes()
            raw += b"\0" + line
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
    )


def jpeg(samples, mode, **options):
    image = Image.fromarray(samples[..., 0] if mode == "L" else samples, mode)
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def main():
    FOLDER.mkdir(exist_ok=True)
    rgb = picture(3)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees: not applied
    palette = chunk(b"PLTE", picture(3).reshape(-1, 3)[::5][:16].tobytes())
    clear = chunk(b"tRNS", bytes(range(0, 250, 25)))
    jpegs = {
        "jpeg_420": jpeg(rgb, "RGB", quality=85, subsampling="4:2:0"),
        "jpeg_422": jpeg(rgb, "RGB", quality=85, subsampling="4:2:2"),
        "jpeg_444": jpeg(rgb, "RGB", quality=95, subsampling="4:4:4"),
        "jpeg_progressive": jpeg(rgb, "RGB", quality=80, progressive=True),
        "jpeg_gray": jpeg(picture(1), "L", quality=80),
        "jpeg_cmyk": jpeg(picture(4), "CMYK", quality=80),
        "jpeg_rotated": jpeg(rgb, "RGB", quality=80, exif=exif),
        "jpeg_restart": jpeg(rgb, "RGB", quality=80, restart_marker_blocks=1),
    }
    # The same inks with the Adobe marker's transform set to YCCK: other colours, but a path of its own.
    cmyk = jpegs["jpeg_cmyk"]
    place = cmyk.index(b"Adobe") + 11
    jpegs["jpeg_ycck"] = cmyk[:place] + b"\x02" + cmyk[place + 1 :]
    pngs = {
        "png_rgb": png(rgb, 2, 8),
        "png_rgb_interlaced": png(rgb, 2, 8, interlaced=True),
        "png_rgb_transparent": png(rgb, 2, 8, extra=chunk(b"tRNS", struct.pack(">HHH", *map(int, rgb[3, 3])))),
        "png_rgb16": png(picture(3, 65535), 2, 16),
        "png_rgba": png(picture(4), 6, 8),
        "png_rgba16_interlaced": png(picture(4, 65535), 6, 16, interlaced=True),
        "png_gray": png(picture(1), 0, 8),
        "png_gray_alpha": png(picture(2), 4, 8),
        "png_gray_alpha16": png(picture(2, 65535), 4, 16),
        "png_gray1": png(picture(1, 1), 0, 1),
        "png_gray2_interlaced": png(picture(1, 3), 0, 2, interlaced=True),
        "png_gray4": png(picture(1, 15), 0, 4),
        "png_gray16": png(picture(1, 600), 0, 16),
        "png_gray16_interlaced": png(picture(1, 600), 0, 16, interlaced=True),
        "png_palette4": png(picture(1, 15), 3, 4, extra=palette),
        "png_palette8_transparent": png(picture(1, 15), 3, 8, extra=palette + clear),
        "png_gamma": png(rgb, 2, 8, extra=chunk(b"gAMA", struct.pack(">I", 100000))),
    }
    for files, extension in ((jpegs, "jpg"), (pngs, "png")):
        for name, data in files.items():
            (FOLDER / f"{name}.{extension}").write_bytes(data)
            Image.open(io.BytesIO(data)).convert("RGB").save(FOLDER / f"{name}.ppm")


if __name__ == "__main__":
    main()
