#!/usr/bin/env python3
"""The sequential refit of ours and of PyTorch's in turn: same model, images, threads and choice of neurons.

    bench/peers/run sequential MODEL [--images 1000] [--rate 0.75] [--threads 2] [--rounds 5]

MODEL is a checkpoint with timm's names and its configuration in the header; the images are smooth noise. Both sides
calibrate once, untimed, then refit second layers and attention outputs as often as asked: four shrinkages, chosen by
every fifth image. PyTorch's side multiplies batches in float32 and sums and solves in float64; it keeps the features of a
step, so that they are computed once. Printed are the medians of seconds, the median of the paired ratios, the largest
relative difference of the errors that are left at the steps, and the peak memory of both processes.
"""

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from worker import Worker

SHRINKAGES = (1e-3, 1e-2, 1e-1, 1.0)
CENTRE_LAMBDA = 1e-3
HELD_OUT = 5
BATCH = 64  # images; larger ones are no faster


def serve(model_file: str, images_file: str, count: int, rate: float, threads: int) -> None:
    """PyTorch's side of it."""
    import torch
    import torch.nn.functional as F
    from safetensors import safe_open

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    with safe_open(model_file, "pt") as file:
        metadata = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}
    depth = sum(name.endswith("mlp.fc1.bias") for name in weights)
    size, heads = json.loads(metadata["image_size"]), json.loads(metadata["num_heads"])
    epsilon = json.loads(metadata["layer_norm_eps"])
    dim, channels, patch, _ = weights["patch_embed.proj.weight"].shape
    images = torch.from_numpy(np.fromfile(images_file, np.float32).reshape(count, channels, size, size))

    def get(block: int, name: str) -> "torch.Tensor":
        return weights[f"blocks.{block}.{name}"]

    def norm(x, block: int, which: int):
        return F.layer_norm(x, (dim,), get(block, f"norm{which}.weight"), get(block, f"norm{which}.bias"), epsilon)

    def attended(x, block: int):
        """What the output projection reads, [n, tokens, dim]."""
        n, tokens, _ = x.shape
        qkv = F.linear(norm(x, block, 1), get(block, "attn.qkv.weight"), get(block, "attn.qkv.bias"))
        q, k, v = qkv.reshape(n, tokens, 3, heads, dim // heads).permute(2, 0, 3, 1, 4).unbind(0)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, dim)

    def hidden(x, block: int, weight, bias):
        return F.gelu(F.linear(norm(x, block, 2), weight, bias))

    def scale(block: int, which: int):
        return weights.get(f"blocks.{block}.ls{which}.gamma", torch.ones(dim))

    def embedded(x):
        x = F.conv2d(x, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], patch)
        x = x.flatten(2).transpose(1, 2)
        return torch.cat((weights["cls_token"].expand(len(x), -1, -1), x), 1) + weights["pos_embed"]

    class Moments:
        """Sum and second moments in float64 of rows in float32, around their first batch's mean."""

        def __init__(self) -> None:
            self.count, self.shift, self.sum, self.product = 0, None, 0, 0

        def add(self, rows) -> None:
            if self.shift is None:
                self.shift = rows.mean(0)
            rows = rows - self.shift
            self.count += len(rows)
            self.sum = self.sum + rows.sum(0).double()
            self.product = self.product + (rows.T @ rows).double()

        def __add__(self, other: "Moments") -> "Moments":
            """Both together, around the first one's shift."""
            total, moved = Moments(), (other.shift - self.shift).double()
            total.count, total.shift = self.count + other.count, self.shift
            total.sum = self.sum + other.sum + other.count * moved
            cross = torch.outer(other.sum, moved)
            total.product = self.product + other.product + cross + cross.T + other.count * torch.outer(moved, moved)
            return total

        def finish(self):
            mean = self.sum / self.count
            return mean + self.shift.double(), self.product / self.count - torch.outer(mean, mean)

    def ridge(features, cross, centre, shrinkage: float):
        penalty = shrinkage * features.diagonal().mean()
        factor = torch.linalg.cholesky(features + penalty * torch.eye(len(features), dtype=torch.float64))
        return torch.cholesky_solve((cross + penalty * centre).T, factor).T

    def error(moments, k: int, weight, bias) -> float:
        mean, m = moments
        left = m[k:, k:].trace() - 2 * (weight * m[k:, :k]).sum() + ((weight @ m[:k, :k]) * weight).sum()
        return float(left + (mean[k:] - weight @ mean[:k] - bias).square().sum())

    def solve(fitted: Moments, unseen: Moments, k: int, centre):
        def fit(moments, shrinkage: float):
            mean, m = moments
            weight = ridge(m[:k, :k], m[k:, :k], centre, shrinkage)
            return weight, mean[k:] - weight @ mean[:k]

        known, held_out = fitted.finish(), unseen.finish()
        best = min(SHRINKAGES, key=lambda shrinkage: error(held_out, k, *fit(known, shrinkage)))
        both = (fitted + unseen).finish()
        weight, bias = fit(both, best)
        return weight, bias, error(both, k, weight, bias) / float(both[1][k:, k:].trace())

    chunks = [range(first, min(first + BATCH, count)) for first in range(0, count, BATCH)]
    start = torch.cat([embedded(images[chunk.start : chunk.stop]) for chunk in chunks])
    stream, covariances = start.clone(), []
    for block in range(depth):
        moments = Moments()
        for chunk in chunks:
            x = stream[chunk.start : chunk.stop]
            x += scale(block, 1) * F.linear(
                attended(x, block), get(block, "attn.proj.weight"), get(block, "attn.proj.bias"))
            h = hidden(x, block, get(block, "mlp.fc1.weight"), get(block, "mlp.fc1.bias"))
            moments.add(h.flatten(0, 1))
            x += scale(block, 2) * F.linear(h, get(block, "mlp.fc2.weight"), get(block, "mlp.fc2.bias"))
        covariances.append(moments.finish())
    variances = torch.cat([covariance.diagonal() for _, covariance in covariances])
    removed = torch.zeros(len(variances), dtype=torch.bool)
    removed[variances.argsort(stable=True)[: int(rate * len(variances))]] = True
    keep = [~part for part in removed.split([len(mean) for mean, _ in covariances])]
    if min(int(kept.sum()) for kept in keep) < 16:
        raise SystemExit("a block would become narrower than the minimum, which this script does not know")

    # Images to fit come first, those held out last, so that a batch is all one or the other.
    order = [i for i in range(count) if i % HELD_OUT != HELD_OUT - 1]
    limit = len(order)
    order += [i for i in range(count) if i % HELD_OUT == HELD_OUT - 1]
    start = start[order]
    pieces = [(a, min(a + BATCH, limit)) for a in range(0, limit, BATCH)]
    pieces += [(a, min(a + BATCH, count)) for a in range(limit, count, BATCH)]

    def refit(dense, pruned, features, centre, gain):
        """Fits features to dense - pruned; moves the pruned stream."""
        k = features[0].shape[-1]
        fitted, unseen = Moments(), Moments()
        for (a, b), f in zip(pieces, features, strict=True):
            rows = torch.cat((f, dense[a:b] - pruned[a:b]), 2).flatten(0, 1)
            (fitted if a < limit else unseen).add(rows)
        weight, bias, left = solve(fitted, unseen, k, gain.double()[:, None] * centre)
        weight, bias = weight.float(), bias.float()
        for (a, b), f in zip(pieces, features, strict=True):
            pruned[a:b] += F.linear(f, weight, bias)
        return left

    def walk() -> dict[str, float]:
        dense, pruned, report = start.clone(), start.clone(), {}
        for block in range(depth):
            gain, w, b = scale(block, 1), get(block, "attn.proj.weight"), get(block, "attn.proj.bias")
            features = []
            for first, last in pieces:
                d = dense[first:last]
                if block > 0:
                    features.append(attended(pruned[first:last], block))
                d += gain * F.linear(attended(d, block), w, b)
            if block > 0:
                report[f"blocks.{block}.attn"] = refit(dense, pruned, features, w.double(), gain)
            else:
                pruned = dense.clone()

            gain, kept = scale(block, 2), keep[block]
            w1, b1 = get(block, "mlp.fc1.weight"), get(block, "mlp.fc1.bias")
            w2, b2 = get(block, "mlp.fc2.weight"), get(block, "mlp.fc2.bias")
            narrow, narrow_bias = w1[kept], b1[kept]
            _, covariance = covariances[block]
            inner = covariance[kept][:, kept]
            cross = w2[:, kept].double() @ inner + w2[:, ~kept].double() @ covariance[~kept][:, kept]
            centre = ridge(inner, cross, w2[:, kept].double(), CENTRE_LAMBDA)
            features = []
            for first, last in pieces:
                d = dense[first:last]
                features.append(hidden(pruned[first:last], block, narrow, narrow_bias))
                d += gain * F.linear(hidden(d, block, w1, b1), w2, b2)
            report[f"blocks.{block}.mlp"] = refit(dense, pruned, features, centre, gain)
        return report

    report = {}
    for _ in sys.stdin:
        begin = time.perf_counter()
        report = walk()
        print(time.perf_counter() - begin, flush=True)
    for name, left in report.items():
        print(name, left)
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)


def write_images(path: Path, count: int, size: int) -> None:
    """Smooth noise: what varies slowly in an image excites a network more like photographs than white noise does."""
    random = np.random.default_rng(1)
    coarse = random.standard_normal((count, 3, 7, 7), np.float32)
    weights = np.zeros((size, 7), np.float32)
    for i, at in enumerate(np.linspace(0, 6, size)):
        low = min(int(at), 5)
        weights[i, low], weights[i, low + 1] = 1 - (at - low), at - low
    smooth = np.einsum("yi,ncij,xj->ncyx", weights, coarse, weights, optimize=True)
    (smooth + 0.3 * random.standard_normal(smooth.shape, np.float32)).astype(np.float32).tofile(path)


def main() -> None:
    """Measures both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="bench_sequential, or - for PyTorch's side alone")
    parser.add_argument("model")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=0.75)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pixels", help="a file of images instead of smooth noise, float32")
    options = parser.parse_args()
    numbers = [str(options.images), str(options.rate), str(options.threads)]
    if options.program == "-":
        return serve(options.model, options.pixels, options.images, options.rate, options.threads)
    from safetensors import safe_open

    with safe_open(options.model, "np") as file:
        size = json.loads(file.metadata()["image_size"])
    with tempfile.TemporaryDirectory() as folder:
        pixels = options.pixels or str(Path(folder) / "images.f32")
        if not options.pixels:
            write_images(Path(pixels), options.images, size)
        ours = Worker([options.program, options.model, pixels, *numbers])
        theirs = Worker([sys.executable, str(Path(__file__).resolve()), "-", options.model, "--pixels", pixels,
                         "--images", numbers[0], "--rate", numbers[1], "--threads", numbers[2]])
        times = [(ours.seconds(), theirs.seconds()) for _ in range(options.rounds + 1)][1:]  # the first one warms up
        reports = (ours.finish(), theirs.finish())
    for name, index in (("vbp", 0), ("PyTorch", 1)):
        median = statistics.median(pair[index] for pair in times)
        print(f"{name:8} {median:.2f} s, peak {reports[index].pop('peak') / 1e6:.0f} MB")
    print(f"ratio of seconds: {statistics.median(pair[1] / pair[0] for pair in times):.2f}")
    differences = [abs(left / reports[1][name] - 1) for name, left in reports[0].items()]
    if not differences or reports[0].keys() != reports[1].keys():
        raise SystemExit("the two refitted different steps")
    print(f"errors left at {len(differences)} steps agree to {max(differences):.1e}")


if __name__ == "__main__":
    main()
