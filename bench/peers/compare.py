#!/usr/bin/env python3
"""vbp beside PyTorch, ONNX Runtime and OpenVINO: the same weights, float32, interleaved.

For each of DeiT-T, -S, -B, dense and with 55% of the hidden neurons removed, or with --family ConvNeXt of timm's
ConvNeXt-T, -S, -B and 50%, or with --family Swin of timm's Swin-T, -S, -B and 45, 50, 55%, 1 and 2 threads, batches of
1 and 8: checks that all logits agree to 1e-4 of the largest, then runs all in turn (single images twice each, of which
the second is timed) and reports milliseconds an image (the median) and the median of the paired ratios best peer / vbp
with its 95% interval (of the order statistics). Shapes are static, the number of threads is fixed, graph optimisations
are on; PyTorch is the fastest of eager, for ConvNeXt eager with channels last too, and torch.compile.
Writes a Markdown table and a picture.

Run it through bench/peers/run, which makes the virtual environment and builds the program.
"""

import argparse
import copy
import json
import math
import pathlib
import struct
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime
import openvino
import torch
from torch import nn

PEERS = ("PyTorch", "ONNX Runtime", "OpenVINO")


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, d = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        x = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(n, t, d))


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, 16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class Deit(nn.Module):
    """Touvron et al. 2021 with timm's parameter names."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, 197, dim) * 0.02)
        self.patch_embed = PatchEmbed(dim)
        self.blocks = nn.Sequential(*(Block(dim, dim // 64, hidden) for _ in range(12)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch_embed(x)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


DIMS = {"T": 192, "S": 384, "B": 768}


def make_deit(letter: str, percent: int) -> tuple[nn.Module, dict]:
    """A model with `percent` of the hidden neurons of each block removed, and its configuration."""
    dim = DIMS[letter]
    model = Deit(dim, 4 * dim - 4 * dim * percent // 100)
    return model, {"num_heads": str(dim // 64), "activation": "gelu", "global_pool": "token", "layer_norm_eps": "1e-6"}


def make_convnext(letter: str, percent: int) -> tuple[nn.Module, dict]:
    """The same of timm's ConvNeXt; layer scales that let the blocks count."""
    import timm

    model = timm.create_model({"T": "convnext_tiny", "S": "convnext_small", "B": "convnext_base"}[letter])
    for stage in model.stages:
        for block in stage.blocks:
            dim, hidden = block.mlp.fc1.in_features, block.mlp.fc1.out_features
            block.mlp = timm.layers.Mlp(dim, hidden - hidden * percent // 100)
            nn.init.normal_(block.gamma, std=0.1)
    return model, {}


def make_swin(letter: str, percent: int) -> tuple[nn.Module, dict]:
    """The same of timm's Swin Transformer."""
    import timm

    size = {"T": "tiny", "S": "small", "B": "base"}[letter]
    model = timm.create_model(f"swin_{size}_patch4_window7_224")
    for layer in model.layers:
        for block in layer.blocks:
            hidden = block.mlp.fc1.out_features
            block.mlp = timm.layers.Mlp(block.dim, hidden - hidden * percent // 100)
            nn.init.normal_(block.attn.relative_position_bias_table)
    return model, {}


# How a model is made, and the percentages that the paper removes.
FAMILIES = {
    "DeiT": (make_deit, dict.fromkeys("TSB", 55)),
    "ConvNeXt": (make_convnext, dict.fromkeys("TSB", 50)),
    "Swin": (make_swin, {"T": 45, "S": 50, "B": 55}),
}


def save_safetensors(path: pathlib.Path, model: nn.Module, metadata: dict) -> None:
    header, parts, offset = {"__metadata__": metadata}, [], 0
    for name, tensor in model.state_dict().items():
        data = tensor.contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(data)]}
        parts.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


class Vbp:
    """The program serve, in a process of its own that sleeps between runs."""

    def __init__(self, program: str, model: pathlib.Path, images: np.ndarray, threads: int, work: pathlib.Path) -> None:
        pixels, self.logits_file = work / "images.f32", work / "logits.f32"
        images.tofile(pixels)
        self.shape = (images.shape[0], 1000)
        command = [program, model, pixels, str(images.shape[0]), str(threads), self.logits_file]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self) -> float:
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> np.ndarray:
        self.process.stdin.close()
        if self.process.wait() != 0:
            raise SystemExit("serve failed")
        return np.fromfile(self.logits_file, np.float32).reshape(self.shape)


def timed(function):
    def run() -> float:
        begin = time.perf_counter()
        function()
        return time.perf_counter() - begin

    return run


def peers(
    model: nn.Module, images: np.ndarray, threads: int, work: pathlib.Path, compiled: bool, channels_last: bool
) -> dict:
    """name -> (function that runs once, logits)"""
    torch.set_num_threads(threads)
    tensor = torch.from_numpy(images)
    result = {}

    def add_torch(name: str, function) -> None:
        def run():
            with torch.inference_mode():
                return function(tensor)

        result[name] = (run, run().numpy())

    add_torch("PyTorch", model)
    if channels_last:
        last = copy.deepcopy(model).to(memory_format=torch.channels_last)
        add_torch("PyTorch channels last", lambda x: last(x.contiguous(memory_format=torch.channels_last)))
    if compiled:
        try:
            torch._dynamo.reset()
            add_torch("PyTorch compiled", torch.compile(model, mode="max-autotune-no-cudagraphs", dynamic=False))
        except Exception as error:  # a machine without what the compiler needs: eager remains
            print("torch.compile failed:", type(error).__name__)

    onnx_file = work / "model.onnx"
    torch.onnx.export(model, (tensor,), onnx_file, input_names=["x"], output_names=["y"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(onnx_file, options, providers=["CPUExecutionProvider"])
    result["ONNX Runtime"] = (lambda: session.run(None, {"x": images})[0], session.run(None, {"x": images})[0])

    core = openvino.Core()
    network = core.compile_model(
        core.read_model(onnx_file), "CPU",
        {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
         "NUM_STREAMS": "1"},
    )
    request = network.create_infer_request()

    def run_openvino():
        return request.infer({0: images}, share_inputs=True)[0]

    result["OpenVINO"] = (run_openvino, np.array(run_openvino()))
    return result


def interval(values: np.ndarray) -> tuple[float, float]:
    """95% interval of the median: binomial order statistics, normal approximation."""
    ordered, n = np.sort(values), len(values)
    half = 1.96 * math.sqrt(n) / 2
    return ordered[max(0, math.floor(n / 2 - half))], ordered[min(n - 1, math.ceil(n / 2 + half))]


def measure_cell(args, letter: str, percent: int, threads: int, batch: int) -> dict:
    torch.manual_seed(1)
    model, configuration = FAMILIES[args.family][0](letter, percent)
    model = model.eval()
    images = np.random.default_rng(2).standard_normal((batch, 3, 224, 224), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        weights = work / "model.safetensors"
        save_safetensors(weights, model, configuration | {"image_size": "224", "mean": "[0.5, 0.5, 0.5]",
                                                          "std": "[0.5, 0.5, 0.5]"})
        ours = Vbp(args.program, weights, images, threads, work)
        theirs = peers(model, images, threads, work, args.compile, args.family == "ConvNeXt")
        runs = {"vbp": ours.run} | {name: timed(function) for name, (function, _) in theirs.items()}
        seconds = {name: [] for name in runs}
        for round_ in range(-2, args.rounds):
            for name, run in runs.items():
                # Until the threads of the one before have stopped spinning; then a short run that wakes the cores again.
                time.sleep(args.pause)
                if batch == 1:
                    run()
                elapsed = run()
                if round_ >= 0:
                    seconds[name].append(elapsed)
        logits = ours.close()
        for name, (_, other) in theirs.items():
            error = np.abs(logits - other).max() / np.abs(other).max()
            if not error <= 1e-4:
                raise SystemExit(f"logits of vbp and {name} differ by {error:.1e} of the largest")
    milliseconds = {name: 1e3 * np.array(values) / batch for name, values in seconds.items()}
    for variant in ("PyTorch channels last", "PyTorch compiled"):
        other = milliseconds.pop(variant, milliseconds["PyTorch"])
        if np.median(other) < np.median(milliseconds["PyTorch"]):
            milliseconds["PyTorch"] = other
    best = min(PEERS, key=lambda name: np.median(milliseconds[name]))
    ratios = milliseconds[best] / milliseconds["vbp"]
    return {"ms": {name: float(np.median(values)) for name, values in milliseconds.items()}, "best": best,
            "ratio": float(np.median(ratios)), "interval": [float(v) for v in interval(ratios)]}


def write_table(results: pathlib.Path, marks: tuple[str, str], lines: list[str]) -> None:
    before, _, rest = results.read_text().partition(marks[0])
    after = rest.partition(marks[1])[2]
    results.write_text(before + "\n".join((marks[0], *lines, marks[1])) + after)


def picture(cells: list[dict], path: pathlib.Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "vbp"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 0.26 * len(cells) + 1))
    y = np.arange(len(cells))
    ratios = np.array([cell["ratio"] for cell in cells])
    bounds = np.array([cell["interval"] for cell in cells]).T
    axes.barh(y, ratios, xerr=np.abs(bounds - ratios), color=["#4878a8" if r >= 1 else "#c05040" for r in ratios])
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks(y, [cell["name"] for cell in cells], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("time of the best peer / time of vbp (median of paired runs, 95% interval)")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the built program bench_serve")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--pause", type=float, default=0.01, help="seconds between runs")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="PyTorch eager only")
    parser.add_argument("--family", choices=FAMILIES, default="DeiT")
    parser.add_argument("--models", default="TSB")
    parser.add_argument("--threads", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("docs/results_appendix.md"),
                        help="the table replaces what is between the two marks here; the picture lies beside it")
    args = parser.parse_args()
    which = "" if args.family == "DeiT" else f"{args.family} "
    marks = (f"<!-- bench/peers {which}begins -->", f"<!-- bench/peers {which}ends -->")
    if any(mark not in args.results.read_text() for mark in marks):
        parser.error(f"{args.results} lacks the lines {marks[0]} and {marks[1]}")
    lines = ["| model | threads | batch | vbp | " + " | ".join(PEERS) + " | best peer / vbp |", "|---|" + "---|" * 7]
    cells = []
    for letter in args.models:
        removed = FAMILIES[args.family][1][letter]
        for label, percent in (("dense", 0), (f"{removed}%", removed)):
            for threads in args.threads:
                for batch in (1, 8):
                    cell = measure_cell(args, letter, percent, threads, batch)
                    cell["name"] = f"{args.family}-{letter} {label}, {threads} thr., batch {batch}"
                    cells.append(cell)
                    low, high = cell["interval"]
                    lines.append(f"| {args.family}-{letter} {label} | {threads} | {batch} | {cell['ms']['vbp']:.2f} | "
                                 + " | ".join(f"{cell['ms'][name]:.2f}" for name in PEERS)
                                 + f" | {cell['ratio']:.2f} ({low:.2f} - {high:.2f}) |")
                    print(lines[-1], flush=True)
                    write_table(args.results, marks, lines)
    name = "peers.svg" if args.family == "DeiT" else f"peers_{args.family.lower()}.svg"
    picture(cells, args.results.with_name(name))


if __name__ == "__main__":
    main()
