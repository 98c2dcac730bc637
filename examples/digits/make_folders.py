"""Writes the digits as PNG files for `vbp`: train/ and test/, the demonstration's split, a sub-folder a class."""

import argparse
import struct
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
SIDE = 8
RECORD = SIDE * SIDE + 1


def png(pixels: bytes) -> bytes:
    """A greyscale image of SIDE x SIDE bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + pixels[i : i + SIDE] for i in range(0, SIDE * SIDE, SIDE))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def main() -> None:
    """Every fifth digit is held out for the test, as data.hpp does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder that gets train/ and test/")
    out = parser.parse_args().out

    records = (HERE / "digits.bin").read_bytes()
    for i in range(len(records) // RECORD):
        record = records[i * RECORD : (i + 1) * RECORD]
        folder = out / ("test" if i % 5 == 0 else "train") / str(record[-1])
        folder.mkdir(parents=True, exist_ok=True)
        # 0 to 16 in the file.
        (folder / f"{i:04}.png").write_bytes(png(bytes(min(255, 16 * value) for value in record[:-1])))


if __name__ == "__main__":
    main()
