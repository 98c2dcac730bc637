#!/usr/bin/env python3
"""One training step (forward, backward, AdamW) of ours and of PyTorch's in turn, same model, batch and threads.

    bench/peers/run training MODEL [--batch 64] [--threads 2] [--rounds 20]

MODEL is a checkpoint with timm's names and its configuration in the header. Steps alternate, so that a machine
whose speed drifts favours neither; printed are the medians of seconds, images per second, the median of the
ratios of neighbouring steps, and the peak memory of both processes. """

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path

from worker import Worker


def serve(model_file: str, batch: int, threads: int) -> None:
    """PyTorch's side: one step and its seconds for every line on stdin, then the peak memory in bytes."""
    import torch
    from safetensors import safe_open
    from timm.layers import Mlp
    from timm.models.vision_transformer import VisionTransformer

    torch.set_num_threads(threads)
    with safe_open(model_file, "pt") as file:
        metadata = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}
    depth = sum(name.endswith("mlp.fc1.bias") for name in weights)
    widths = [weights[f"blocks.{i}.mlp.fc1.bias"].numel() for i in range(depth)]
    size = json.loads(metadata["image_size"])
    dim, channels, patch, _ = weights["patch_embed.proj.weight"].shape
    model = VisionTransformer(
        img_size=size,
        patch_size=patch,
        in_chans=channels,
        embed_dim=dim,
        depth=len(widths),
        num_heads=json.loads(metadata["num_heads"]),
        num_classes=weights["head.bias"].numel(),
        init_values=1.0 if "blocks.0.ls1.gamma" in weights else None,
    )
    for block, width in zip(model.blocks, widths, strict=True):
        block.mlp = Mlp(dim, width)
    model.load_state_dict(weights)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-5, fused=True)
    images = torch.randn(batch, channels, size, size)
    labels = torch.arange(batch) % model.num_classes
    for _ in sys.stdin:
        begin = time.perf_counter()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        print(time.perf_counter() - begin, flush=True)
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)


def main() -> None:
    """Measures both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="bench_training, or - for PyTorch's side alone")
    parser.add_argument("model")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    numbers = [str(options.batch), str(options.threads)]
    if options.program == "-":
        return serve(options.model, options.batch, options.threads)
    ours = Worker([options.program, options.model, *numbers])
    this = str(Path(__file__).resolve())
    theirs = Worker([sys.executable, this, "-", options.model, "--batch", numbers[0], "--threads", numbers[1]])
    times: list[tuple[float, float]] = []
    for _ in range(options.rounds + 2):
        times.append((ours.seconds(), theirs.seconds()))
    times = times[2:]  # the first ones warm up
    peaks = (ours.finish()["peak"], theirs.finish()["peak"])
    for name, index in (("vbp", 0), ("PyTorch", 1)):
        median = statistics.median(pair[index] for pair in times)
        rate = options.batch / median
        print(f"{name:8} {median:.3f} s a step, {rate:.1f} images/s, peak {peaks[index] / 1e6:.0f} MB")
    ratio = statistics.median(pair[1] / pair[0] for pair in times)
    print(f"ratio of images/s: {ratio:.2f}")


if __name__ == "__main__":
    main()
