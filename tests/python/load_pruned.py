"""Loads a checkpoint that vbp has written, pruned or not, into timm's network of its family.

As a module:

    from load_pruned import load_vbp
    model = load_vbp("pruned.safetensors")  # eval mode, hidden width of its own per block

As a program it compares with logits computed elsewhere:

    python load_pruned.py pruned.safetensors --inputs inputs.safetensors --expected logits.safetensors

Needs torch, timm and safetensors.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from timm.layers import GELUTanh, Mlp
from timm.models.convnext import ConvNeXt
from timm.models.deit import VisionTransformerDistilled
from timm.models.swin_transformer import SwinTransformer
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


def set_hidden_widths(blocks: Sequence[nn.Module], names: Sequence[str], tensors: Mapping[str, Tensor]) -> None:
    """Gives each block an MLP of as many hidden neurons as its tensors have."""
    for block, name in zip(blocks, names, strict=True):
        width, dim = tensors[f"{name}.mlp.fc1.weight"].shape
        block.mlp = Mlp(dim, width, act_layer=type(block.mlp.act))


def set_widths_of_stages(stages: Sequence[nn.Module], name: str, tensors: Mapping[str, Tensor]) -> None:
    """The same for a network whose blocks are called NAME.stage.blocks.block."""
    for i, stage in enumerate(stages):
        names = [f"{name}.{i}.blocks.{j}" for j in range(len(stage.blocks))]
        set_hidden_widths(stage.blocks, names, tensors)


def build_vit(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> VisionTransformer:
    """A network of the file's shapes; heads, epsilon, image size, pooling, activation from its header."""
    dim, channels, patch_height, patch_width = tensors["patch_embed.proj.weight"].shape
    distilled = "dist_token" in tensors
    pooling = metadata.get("global_pool", "token")
    epsilon = float(metadata["layer_norm_eps"])
    depth = sum(name.endswith(".mlp.fc1.weight") for name in tensors)

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
        depth=depth,
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
    set_hidden_widths(model.blocks, [f"blocks.{i}" for i in range(depth)], tensors)
    if pooling == "token+mean":
        model.head = nn.Linear(2 * dim, model.num_classes)
    return model


def build_convnext(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> ConvNeXt:
    """The same of a ConvNeXt."""
    model = ConvNeXt(
        in_chans=int(metadata["channels"]),
        num_classes=int(metadata["num_classes"]),
        patch_size=int(metadata["patch_size"]),
        depths=json.loads(metadata["depths"]),
        dims=json.loads(metadata["dims"]),
        ls_init_value=1.0 if "stages.0.blocks.0.gamma" in tensors else None,
        norm_eps=float(metadata["layer_norm_eps"]),
        act_layer=metadata["activation"],
    )
    model.head.norm.eps = float(metadata["head_norm_eps"])
    set_widths_of_stages(model.stages, "stages", tensors)
    return model


def build_swin(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> SwinTransformer:
    """The same of a Swin Transformer."""
    if metadata["pad_before_shift"] != "false":
        raise ValueError("timm shifts maps before it fills them up, this network the other way round")
    epsilon = float(metadata["layer_norm_eps"])
    model = SwinTransformer(
        img_size=int(metadata["image_size"]),
        patch_size=int(metadata["patch_size"]),
        in_chans=int(metadata["channels"]),
        num_classes=int(metadata["num_classes"]),
        embed_dim=json.loads(metadata["dims"])[0],
        depths=json.loads(metadata["depths"]),
        num_heads=json.loads(metadata["num_heads"]),
        window_size=json.loads(metadata["window_size"]),
        qkv_bias="layers.0.blocks.0.attn.qkv.bias" in tensors,
        norm_layer=lambda size, **options: nn.LayerNorm(size, eps=epsilon, **options),
    )
    model.patch_embed.norm.eps = float(metadata["embed_norm_eps"])
    if metadata["activation"] == "gelu_tanh":
        for block in (block for stage in model.layers for block in stage.blocks):
            block.mlp.act = GELUTanh()
    set_widths_of_stages(model.layers, "layers", tensors)
    return model


def build_vbp(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> nn.Module:
    """The file's network with weights that are still timm's random ones."""
    if "stem.0.weight" in tensors:
        model = build_convnext(tensors, metadata)
    elif "patch_embed.norm.weight" in tensors:
        model = build_swin(tensors, metadata)
    else:
        model = build_vit(tensors, metadata)
    return model.to(next(iter(tensors.values())).dtype)


def load_vbp(path: str | Path) -> nn.Module:
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
    print("hidden widths:", *(part.fc1.out_features for part in model.modules() if isinstance(part, Mlp)))
    if args.inputs is None:
        return
    inputs = load_file(args.inputs)["inputs"]
    expected = load_file(args.expected or args.inputs)[args.name].double()
    with torch.inference_mode():
        logits = model(inputs.to(next(model.parameters()).dtype)).double()
    if logits.shape != expected.shape:
        raise SystemExit(f"logits have the shape {list(logits.shape)}, expected {list(expected.shape)}")
    # Written so that a NaN anywhere fails.
    difference = ((logits - expected).abs().max() / expected.abs().max()).item()
    print(f"largest difference from the expected logits: {difference:.2e} of the largest")
    if not difference <= args.tolerance:
        raise SystemExit(f"more than the tolerance of {args.tolerance:g}")


if __name__ == "__main__":
    main()
