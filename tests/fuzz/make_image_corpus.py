"""Writes tests/fuzz/corpus/image/: small hostile image files, and as many that only look so (valid_*).

Needs nothing beyond Python's own library. Every file that is not named valid_* must be refused.
"""

import pathlib
import struct
import zlib

FOLDER = pathlib.Path(__file__).parent / "corpus" / "image"


# JPEG: the tables give the symbols 0, 1, 2 (DC) and 0x00, 0x01, 0xf0 (AC) the codes 00, 01, 100, so that a grey block
# is four zero bits, and no code begins with 11.

def segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


START, END = b"\xff\xd8", b"\xff\xd9"
QUANTISATION = segment(0xDB, b"\x00" + b"\x10" * 64)
COUNTS = bytes([0, 2, 1] + [0] * 13)
HUFFMAN = segment(0xC4, b"\x00" + COUNTS + b"\x00\x01\x02") + segment(0xC4, b"\x10" + COUNTS + b"\x00\x01\xf0")


def frame(width, height, components=1, kind=0xC0, precision=8, sampling=0x11):
    parts = b"".join(bytes([i + 1, sampling, 0]) for i in range(components))
    return segment(kind, struct.pack(">BHHB", precision, height, width, components) + parts)


def scan(components, data, first=0, last=63, bits=0):
    parts = b"".join(bytes([c, 0]) for c in components)
    return segment(0xDA, bytes([len(components)]) + parts + bytes([first, last, bits])) + data


def jpeg(*parts):
    return START + QUANTISATION + HUFFMAN + b"".join(parts) + END


def jpegs():
    gray = frame(16, 16)
    blocks = b"\x00\x00"
    valid = jpeg(gray, scan([1], blocks))
    progressive = jpeg(frame(16, 16, kind=0xC2), scan([1], b"\x00", 0, 0), scan([1], blocks, 1, 63))
    separate = [scan([c], b"\x0f") for c in (1, 2, 3)]
    return {
        "valid_gray": valid,
        "valid_progressive": progressive,
        "valid_separate_scans": jpeg(frame(8, 8, 3), *separate),
        "valid_bytes_after_end": valid + b"\x00" * 20,
        "valid_bytes_between_segments": jpeg(b"\x00\x00", gray, scan([1], blocks)),
        "start_only": START + b"\xff",
        "start_end": START + END,
        "truncated_segment": valid[:40],
        "truncated_before_scan": valid[: valid.index(b"\xff\xda")],
        "truncated_in_scan": valid[:-3],
        "truncated_end": valid[:-2],
        "truncated_progressive": progressive[:-20],
        "scan_too_short": jpeg(gray, scan([1], b"\x00")),
        "scan_empty": jpeg(gray, scan([1], b"")),
        "scan_bad_codes": jpeg(gray, scan([1], b"\xff\x00" * 40)),
        "scan_runs_past_block": jpeg(gray, scan([1], b"\x24\x92\x49" * 20)),
        "scan_unknown_component": jpeg(gray, scan([9], blocks)),
        "scan_bad_spectrum": jpeg(frame(16, 16, kind=0xC2), scan([1], blocks, 40, 80)),
        "valid_scan_repeated": jpeg(frame(16, 16, kind=0xC2), *[scan([1], b"\x00", 0, 0)] * 3),
        "scan_bomb": jpeg(frame(8, 8, 3), *separate, *[scan([1], b"\x0f")] * 600),
        "huffman_too_many_codes": START + QUANTISATION + segment(0xC4, b"\x00" + b"\xff" * 16 + bytes(256)) + gray + END,
        "huffman_oversubscribed": START
        + QUANTISATION
        + segment(0xC4, b"\x00" + bytes([3] + [0] * 15) + b"\x00\x01\x02")
        + segment(0xC4, b"\x10" + COUNTS + b"\x00\x01\xf0")
        + gray
        + scan([1], blocks)
        + END,
        "huffman_missing": START + QUANTISATION + gray + scan([1], blocks)[:-2] + END,
        "huffman_bad_class": START + QUANTISATION + segment(0xC4, b"\x77" + COUNTS + b"\x00\x01\x02") + gray + END,
        "quantisation_missing": START + HUFFMAN + gray + scan([1], blocks) + END,
        "segment_length_zero": START + b"\xff\xdb\x00\x00" + valid[2:],
        "segment_length_past_end": START + b"\xff\xe0\xff\xff" + valid[2:],
        "frame_missing": jpeg(scan([1], blocks)),
        "frame_twice": jpeg(gray, gray, scan([1], blocks)),
        "frame_no_rows": jpeg(frame(16, 0), scan([1], blocks)),
        "frame_no_columns": jpeg(frame(0, 16), scan([1], blocks)),
        "frame_no_components": jpeg(frame(16, 16, 0), scan([1], blocks)),
        "frame_two_components": jpeg(frame(8, 8, 2), scan([1, 2], blocks)),
        "frame_many_components": jpeg(frame(8, 8, 40), scan([1, 2], blocks)),
        "frame_bad_sampling": jpeg(frame(8, 8, 3, sampling=0x77), scan([1, 2, 3], blocks)),
        "frame_zero_sampling": jpeg(frame(8, 8, 3, sampling=0x00), scan([1, 2, 3], blocks)),
        "frame_12_bits": jpeg(frame(16, 16, precision=12), scan([1], blocks)),
        "frame_lossless": jpeg(frame(16, 16, kind=0xC3), scan([1], blocks)),
        "dimensions_over_limit": jpeg(frame(65500, 65500), scan([1], blocks)),
        "dimensions_over_format": jpeg(frame(65535, 65535), scan([1], blocks)),
        "dimensions_over_file": jpeg(frame(13000, 13000), scan([1], blocks)),
        "dimensions_over_file_progressive": jpeg(frame(9000, 9000, 3, kind=0xC2), scan([1], b"\x00", 0, 0)),
        "segment_exif_only": START + segment(0xE1, b"Exif\x00\x00" + b"\xff" * 30),
    }


# PNG

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, data, crc=0):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ crc)


def header(width, height, depth=8, color=2, compression=0, filtering=0, interlace=0, crc=0):
    fields = struct.pack(">IIBBBBB", width, height, depth, color, compression, filtering, interlace)
    return chunk(b"IHDR", fields, crc)


def rows(count, length, filtering=0):
    return b"".join(bytes([filtering]) + bytes((7 * y + x) % 256 for x in range(length)) for y in range(count))


def pngs():
    data = zlib.compress(rows(6, 15), 9)
    image = chunk(b"IDAT", data)
    palette = chunk(b"PLTE", bytes(range(12)))
    indices = chunk(b"IDAT", zlib.compress(b"".join(b"\x00\x00\x01\x02\x03" for _ in range(4)), 9))
    wrong_indices = chunk(b"IDAT", zlib.compress(b"".join(b"\x00\x00\x01\x02\xc8" for _ in range(4)), 9))
    end = chunk(b"IEND", b"")
    valid = SIGNATURE + header(5, 6) + image + end
    bomb = zlib.compress(bytes(4_000_000), 9)
    return {
        "valid_rgb": valid,
        "valid_palette": SIGNATURE + header(4, 4, color=3) + palette + indices + end,
        "valid_text_bomb": SIGNATURE + header(5, 6) + chunk(b"zTXt", b"bomb\x00\x00" + bomb) + image + end,
        "valid_bad_profile": SIGNATURE + header(5, 6) + chunk(b"iCCP", b"p\x00\x00" + b"\xff" * 20) + image + end,
        "valid_split_data": SIGNATURE
        + header(5, 6)
        + b"".join(chunk(b"IDAT", data[i : i + 3]) for i in range(0, len(data), 3))
        + end,
        "valid_bytes_after_end": valid + b"more",
        "signature_only": SIGNATURE,
        "truncated_header": valid[:20],
        "truncated_before_data": valid[:33],
        "truncated_data": valid[:-30],
        "truncated_end": valid[:-12],
        "header_missing": SIGNATURE + image + end,
        "header_wrong_length": SIGNATURE + chunk(b"IHDR", bytes(5)) + image + end,
        "header_bad_crc": SIGNATURE + header(5, 6, crc=1) + image + end,
        "data_bad_crc": SIGNATURE + header(5, 6) + chunk(b"IDAT", data, 1) + end,
        "text_bad_crc": SIGNATURE + header(5, 6) + chunk(b"tEXt", b"a\x00b", 1) + image + end,
        "end_bad_crc": SIGNATURE + header(5, 6) + image + chunk(b"IEND", b"", 1),
        "data_missing": SIGNATURE + header(5, 6) + end,
        "data_empty": SIGNATURE + header(5, 6) + chunk(b"IDAT", b"") + end,
        "data_too_short": SIGNATURE + header(5, 6) + chunk(b"IDAT", zlib.compress(rows(3, 15), 9)) + end,
        "data_not_deflate": SIGNATURE + header(5, 6) + chunk(b"IDAT", b"\xff" * 60) + end,
        "data_bad_block": SIGNATURE + header(5, 6) + chunk(b"IDAT", b"\x78\x9c\x07" + b"\x55" * 40) + end,
        "data_bad_filter": SIGNATURE + header(5, 6) + chunk(b"IDAT", zlib.compress(rows(6, 15, 9), 9)) + end,
        "valid_zip_bomb": SIGNATURE + header(5, 6) + chunk(b"IDAT", bomb) + end,
        "palette_missing": SIGNATURE + header(4, 4, color=3) + indices + end,
        "palette_empty": SIGNATURE + header(4, 4, color=3) + chunk(b"PLTE", b"") + indices + end,
        "palette_odd_length": SIGNATURE + header(4, 4, color=3) + chunk(b"PLTE", bytes(10)) + indices + end,
        "valid_palette_index_too_large": SIGNATURE + header(4, 4, color=3) + palette + wrong_indices + end,
        "dimensions_zero": SIGNATURE + header(0, 6) + image + end,
        "dimensions_over_format": SIGNATURE + header(2**32 - 1, 2**32 - 1) + image + end,
        "dimensions_over_library": SIGNATURE + header(2**31 - 1, 2**31 - 1, 16, 6) + image + end,
        "dimensions_over_limit": SIGNATURE + header(20000, 20000, 1, 0) + image + end,
        "dimensions_over_file": SIGNATURE + header(13000, 13000, 1, 0) + image + end,
        "dimensions_over_file_strip": SIGNATURE + header(1, 900_000, 8, 2, interlace=1) + image + end,
        "bad_depth": SIGNATURE + header(5, 6, depth=3) + image + end,
        "bad_color": SIGNATURE + header(5, 6, color=5) + image + end,
        "bad_compression": SIGNATURE + header(5, 6, compression=9) + image + end,
        "bad_interlace": SIGNATURE + header(5, 6, interlace=7) + image + end,
        "chunk_length_past_end": SIGNATURE + header(5, 6) + b"\x7f\xff\xff\xffIDAT" + data,
        "chunk_unknown_critical": SIGNATURE + header(5, 6) + chunk(b"NOPE", b"x") + image + end,
        "signature_line_ends_changed": valid.replace(b"\r\n", b"\n", 1),
    }


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for files, extension in ((jpegs(), "jpg"), (pngs(), "png")):
        for name, data in files.items():
            (FOLDER / f"{name}.{extension}").write_bytes(data)
    (FOLDER / "empty.jpg").write_bytes(b"")
    (FOLDER / "gif.jpg").write_bytes(b"GIF89a" + bytes(20))
    (FOLDER / "text.png").write_bytes(b"not an image\n")


if __name__ == "__main__":
    main()
