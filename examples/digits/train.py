"""Trains the small vision transformer of the digits demo and writes it with timm's tensor names.

Every image whose index is a multiple of five is held out: 360 digits for the test, 1,437 for training. A
pixel v of 0..16 enters the network as (v / 16 - 0.5) / 0.5. Takes about three minutes; needs torch, timm and
safetensors.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

HERE = Path(__file__).resolve().parent
MEAN, STD = 0.5, 0.5
IMAGE, PATCH, DIM, DEPTH, HEADS = 8, 2, 64, 4, 4


def load(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Reads digits.bin: images [n, 1, 8, 8] normalised, labels [n]."""
    records = torch.from_numpy(np.fromfile(path, dtype=np.uint8).reshape(-1, 65).copy())
    images = records[:, :64].reshape(-1, 1, IMAGE, IMAGE).float() / 16
    return (images - MEAN) / STD, records[:, 64].long()


def split(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the training and the held-out images: every fifth is held out."""
    index = torch.arange(count)
    return index[index % 5 != 0], index[index % 5 == 0]


def build() -> VisionTransformer:
    """timm's own class, so that the file loads there without a change."""
    return VisionTransformer(
        img_size=IMAGE,
        patch_size=PATCH,
        in_chans=1,
        num_classes=10,
        embed_dim=DIM,
        depth=DEPTH,
        num_heads=HEADS,
    )


def augment(images: torch.Tensor) -> torch.Tensor:
    """Rotates by about 8 degrees, scales by about 8 %, shifts by about half a pixel, adds a little noise."""
    n = len(images)
    angle, scale = 0.14 * torch.randn(n), 1 + 0.08 * torch.randn(n)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale * angle.cos()
    theta[:, 1, 0] = scale * angle.sin()
    theta[:, 0, 1] = -theta[:, 1, 0]
    theta[:, :, 2] = 0.12 * torch.randn(n, 2)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    # The background is -1 after normalisation; sampling pads with 0, so shift it there and back.
    moved = F.grid_sample(images + 1, grid, align_corners=False) - 1
    return moved + 0.08 * torch.randn_like(moved)


def accuracy(model: VisionTransformer, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Top-1 in per cent."""
    model.eval()
    with torch.inference_mode():
        return 100 * (model(images).argmax(1) == labels).float().mean().item()


def main() -> None:
    """Trains for a fixed number of epochs, so that the held-out digits choose nothing, and saves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE / "digits.bin")
    parser.add_argument("--out", type=Path, default=HERE / "digits_vit.safetensors")
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="other counts round differently")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    images, labels = load(args.data)
    train, test = split(len(images))
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    batch = 64
    steps = args.epochs * (len(train) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=steps, pct_start=0.1)

    for epoch in range(args.epochs):
        model.train()
        order = train[torch.randperm(len(train))]
        for chosen in order[: len(order) // batch * batch].split(batch):
            loss = F.cross_entropy(model(augment(images[chosen])), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {loss.item():.4f}", flush=True)

    top1 = accuracy(model, images[test], labels[test])
    print(f"top-1 on the training digits {accuracy(model, images[train], labels[train]):.2f} %")
    print(f"top-1 on the {len(test)} held-out digits {top1:.2f} %")
    metadata = {
        "architecture": "vit_digits_patch2_8",
        "image_size": json.dumps(IMAGE),
        "patch_size": json.dumps(PATCH),
        "num_heads": json.dumps(HEADS),
        "num_classes": json.dumps(10),
        "layer_norm_eps": json.dumps(model.norm.eps),
        "mean": json.dumps([MEAN]),
        "std": json.dumps([STD]),
        "interpolation": "bicubic",
        "crop_pct": json.dumps(1.0),
        "class_names": json.dumps([str(digit) for digit in range(10)]),
    }
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, args.out, metadata)


if __name__ == "__main__":
    main()
