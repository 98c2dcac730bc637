"""Checks ONNX files that vbp has written, and that ONNX Runtime gets the logits that belong to them.

    python check_onnx.py FOLDER

For every NAME.onnx of the folder: onnx's own checker with shape inference, then the logits of one image, of three and of
all of NAME.safetensors, which holds `inputs` and `logits`. Needs onnx, onnxruntime and numpy.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The float32 tensors of a safetensors file."""
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:begin]).items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "F32", name
        first, end = (begin + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[first:end], np.float32).reshape(entry["shape"])
    return tensors


def check(path: Path) -> float:
    """The largest difference from the expected logits over the largest of these; raises if the file is broken."""
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    tensors = read_tensors(path.with_suffix(".safetensors"))
    inputs, expected = tensors["inputs"], tensors["logits"]
    worst = 0.0
    for batch in sorted({1, 3, len(inputs)}):
        rows = [i % len(inputs) for i in range(batch)]
        (logits,) = session.run(None, {"images": inputs[rows]})
        if logits.shape != expected[rows].shape:
            raise SystemExit(f"{path}: logits have the shape {logits.shape}, expected {expected[rows].shape}")
        difference = np.abs(logits - expected[rows]).max() / np.abs(expected).max()
        # Written so that a NaN anywhere counts as the worst.
        worst = max(worst, difference if difference < np.inf else np.inf)
    return float(worst)


def main() -> None:
    """Checks every model of the folder; fails beyond the tolerance."""
    parser = argparse.ArgumentParser(description="Check ONNX files and the logits that ONNX Runtime gets.")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--tolerance", type=float, default=1e-4, help="relative to the largest expected logit"
    )
    args = parser.parse_args()
    models = sorted(args.folder.glob("*.onnx"))
    if not models:
        raise SystemExit(f"no ONNX files in {args.folder}")
    failed = []
    for path in models:
        difference = check(path)
        print(f"{path.stem}: {difference:.2e}")
        if not difference <= args.tolerance:
            failed.append(path.stem)
    if failed:
        raise SystemExit(f"more than the tolerance of {args.tolerance:g}: {', '.join(failed)}")


if __name__ == "__main__":
    main()
