"""Loads a checkpoint that vbp has written, pruned or not, into timm's VisionTransformer.

As a module:

    from load_pruned import load_vbp
    model = load_vbp("pruned.safetensors")  # eval mode, hidden width of its own per block

As a program it compares with logits computed elsewhere:

    python load_pruned.py pruned.safetensors --inputs inputs.safetensors --expected logits.safetensors

Needs torch, timm and safetensors.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from timm.layers import Mlp
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn


class TokenMeanVisionTransformer(VisionTransformer):
    """DINOv2's classifier as Hugging Face builds it: the head reads the class token and the patches' mean."""

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = torch.cat([x[:, 0], x[:, self.num_prefix_tokens :].mean(dim=1)], dim=1)
        return x if pre_logits else self.head(x)


def read_vbp(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, in float32 at least, and the text of its header."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    return {name: t if t.dtype == torch.float64 else t.float() for name, t in tensors.items()}, metadata


def hidden_widths(tensors: Mapping[str, Tensor]) -> list[int]:
    """Neurons of every block's hidden layer, read from the shapes."""
    depth = sum(name.endswith(".mlp.fc1.weight") for name in tensors)
    return [tensors[f"blocks.{i}.mlp.fc1.weight"].shape[0] for i in range(depth)]


def build_vbp(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> VisionTransformer:
    """A network of the file's shapes; heads, epsilon, image size, pooling, activation from its header."""
    dim, channels, patch_height, patch_width = tensors["patch_embed.proj.weight"].shape
    distilled = "dist_token" in tensors
    pooling = metadata.get("global_pool", "token")
    epsilon = float(metadata["layer_norm_eps"])
    widths = hidden_widths(tensors)

    kind = VisionTransformer
    if distilled:
        kind = VisionTransformerDistilled
    elif pooling == "token+mean":
        kind = TokenMeanVisionTransformer
    model = kind(
        img_size=json.loads(metadata["image_size"]),
        patch_size=(patch_height, patch_width),
        in_chans=channels,
        num_classes=tensors["head.weight"].shape[0],
        global_pool="avg" if pooling == "avg" else "token",
        embed_dim=dim,
        depth=len(widths),
        num_heads=int(metadata["num_heads"]),
        qkv_bias="blocks.0.attn.qkv.bias" in tensors,
        init_values=1.0 if "blocks.0.ls1.gamma" in tensors else None,
        class_token="cls_token" in tensors,
        no_embed_class=metadata.get("no_embed_class") == "true",
        reg_tokens=tensors["reg_token"].shape[1] if "reg_token" in tensors else 0,
        fc_norm="fc_norm.weight" in tensors,
        norm_layer=lambda size, **options: nn.LayerNorm(size, eps=epsilon, **options),
        act_layer=metadata.get("activation", "gelu"),
    )
    for block, width in zip(model.blocks, widths, strict=True):
        block.mlp = Mlp(dim, width, act_layer=type(block.mlp.act))
    if pooling == "token+mean":
        model.head = nn.Linear(2 * dim, model.num_classes)
    return model.to(tensors["head.weight"].dtype)


def load_vbp(path: str | Path) -> VisionTransformer:
    """The network of a file, ready for inference; raises if a tensor is missing, left over or misshapen."""
    tensors, metadata = read_vbp(path)
    model = build_vbp(tensors, metadata)
    model.load_state_dict(tensors, strict=True)
    return model.eval()


def main() -> None:
    """Prints the widths and, given inputs, compares the logits; fails beyond the tolerance."""
    parser = argparse.ArgumentParser(description="Load a vbp checkpoint into timm and compare its logits.")
    parser.add_argument("model", type=Path)
    parser.add_argument(
        "--inputs", type=Path, help="safetensors file with `inputs` [n, channels, size, size]"
    )
    parser.add_argument(
        "--expected", type=Path, help="safetensors file with the logits; default: the inputs' file"
    )
    parser.add_argument("--name", default="logits", help="tensor of the expected file to compare with")
    parser.add_argument(
        "--tolerance", type=float, default=1e-4, help="relative to the largest expected logit"
    )
    args = parser.parse_args()

    model = load_vbp(args.model)
    print("hidden widths:", *(block.mlp.fc1.out_features for block in model.blocks))
    if args.inputs is None:
        return
    inputs = load_file(args.inputs)["inputs"]
    expected = load_file(args.expected or args.inputs)[args.name].double()
    with torch.inference_mode():
        logits = model(inputs.to(model.head.weight.dtype)).double()
    if logits.shape != expected.shape:
        raise SystemExit(f"logits have the shape {list(logits.shape)}, expected {list(expected.shape)}")
    # Written so that a NaN anywhere fails.
    difference = ((logits - expected).abs().max() / expected.abs().max()).item()
    print(f"largest difference from the expected logits: {difference:.2e} of the largest")
    if not difference <= args.tolerance:
        raise SystemExit(f"more than the tolerance of {args.tolerance:g}")


if __name__ == "__main__":
    main()
