"""Writes digits.bin, the 1,797 handwritten digits that scikit-learn ships, one 65-byte record an image."""

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Packs every image as 64 unsigned bytes (8 rows of 8, values 0 to 16) followed by its label."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "digits.bin")
    out = parser.parse_args().out

    digits = load_digits()
    assert digits.data.shape == (1797, 64) and 0 <= digits.data.min() and digits.data.max() <= 16
    records = np.concatenate([digits.data, digits.target[:, None]], axis=1).astype(np.uint8)
    assert np.array_equal(records[:, :64], digits.data)
    out.write_bytes(records.tobytes())


if __name__ == "__main__":
    main()
