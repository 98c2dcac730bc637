"""Golden values for the forward pass: tiny timm models with random weights, and what PyTorch makes of them.

For every variant the directory gets NAME.safetensors, a checkpoint with timm's tensor names and the
configuration in the header, and NAME.expected.safetensors with `inputs` [n, channels, size, size] float32,
`logits` [n, classes] and `hidden.i` [n, tokens, hidden] of block i after its GELU, both float64: the forward
pass runs in double on the weights as stored. NAME.sizeS.expected.safetensors is the same network at image
size S: `inputs`, `logits`, and the `pos_embed` used, which timm resamples in float32. Needs torch, timm and
safetensors.
"""

import argparse
import copy
import json
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from common import HERE, IMAGENET_MEAN, IMAGENET_STD, draw_inputs, observed, randomise, save_tensors
from timm import create_model
from timm.layers import Mlp, resample_abs_pos_embed
from timm.models import save_for_hf
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

IMAGE, PATCH, DIM, HEADS, CLASSES = 16, 4, 24, 2, 7
BASE = dict(
    img_size=IMAGE,
    patch_size=PATCH,
    embed_dim=DIM,
    depth=2,
    num_heads=HEADS,
    mlp_ratio=2,
    num_classes=CLASSES,
)


@dataclass
class Variant:
    """One golden network: constructor arguments beside BASE, and further image sizes to evaluate it at."""

    name: str
    arguments: dict[str, object] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    widths: list[int] | None = None
    distilled: bool = False
    sizes: list[int] = field(default_factory=list)
    dtype: torch.dtype = torch.float32


VARIANTS = [
    # The stored grid is 4x4; these sizes ask for 2x2, 3x3, 6x6 and 7x7.
    Variant("plain", sizes=[8, 12, 24, 28]),
    Variant("plain_f16", dtype=torch.float16),
    Variant("plain_bf16", dtype=torch.bfloat16),
    Variant("plain_f64", dtype=torch.float64),
    Variant("average_pool", {"global_pool": "avg"}),
    Variant("average_pool_norm_first", {"global_pool": "avg", "fc_norm": False}),
    Variant("no_class_token", {"global_pool": "avg", "class_token": False}, sizes=[24]),
    Variant("layer_scale", {"init_values": 1e-5, "num_heads": 3}),
    Variant("gelu_tanh", {"act_layer": "gelu_tanh"}, {"activation": "gelu_tanh"}),
    Variant("epsilon", {"norm_layer": partial(nn.LayerNorm, eps=0.01)}),
    Variant("distilled", metadata={"distilled": "true"}, distilled=True, sizes=[12, 24]),
    Variant(
        "registers",
        {"reg_tokens": 4, "no_embed_class": True, "init_values": 1e-5},
        {"reg_tokens": "4", "no_embed_class": "true"},
        sizes=[12, 24],
    ),
    Variant("registers_embedded", {"reg_tokens": 3}, {"reg_tokens": "3"}, sizes=[24]),
    Variant("no_qkv_bias", {"qkv_bias": False}),
    Variant("widths", {"depth": 3}, {"hidden_widths": "[37, 16, 5]"}, widths=[37, 16, 5]),
    Variant("one_channel", {"in_chans": 1, "patch_size": 2, "img_size": 8, "num_heads": 4}),
]


def build(variant: Variant) -> VisionTransformer:
    """The network of one variant in double precision; all 'plain' ones draw the same weights."""
    kind = VisionTransformerDistilled if variant.distilled else VisionTransformer
    model = kind(**(BASE | variant.arguments))
    for block, width in zip(model.blocks, variant.widths or [], strict=variant.widths is not None):
        block.mlp = Mlp(model.embed_dim, width, act_layer=type(block.mlp.act))
    model = model.double().eval()
    randomise(model, seed=1 if variant.name.startswith("plain") else sum(variant.name.encode()))
    return model


def header(variant: Variant, model: VisionTransformer) -> dict[str, str]:
    """The configuration as the checkpoint's header holds it: names as plain text, other values as JSON."""
    return {
        "architecture": "vit_golden",
        "image_size": json.dumps(model.patch_embed.img_size[0]),
        "patch_size": json.dumps(model.patch_embed.patch_size[0]),
        "num_heads": json.dumps(model.blocks[0].attn.num_heads),
        "num_classes": json.dumps(model.num_classes),
        "layer_norm_eps": json.dumps(model.blocks[0].norm1.eps),
        "mean": json.dumps(IMAGENET_MEAN[: model.in_chans]),
        "std": json.dumps(IMAGENET_STD[: model.in_chans]),
        "interpolation": "bicubic",
        "crop_pct": "0.9",
        "class_names": json.dumps([f"class {i}" for i in range(model.num_classes)]),
        "global_pool": model.global_pool,
    } | variant.metadata


@torch.inference_mode()
def evaluate(model: VisionTransformer, size: int, seed: int) -> dict[str, Tensor]:
    """Random images of one size, the logits, and what each block's hidden layer holds after its GELU."""
    inputs = draw_inputs(size, seed, channels=model.in_chans)
    with observed([block.mlp.act for block in model.blocks]) as hidden:
        logits = model(inputs.double())
    return {"inputs": inputs, "logits": logits} | {f"hidden.{i}": h for i, h in enumerate(hidden)}


def make_variant(variant: Variant, out: Path) -> None:
    """Writes the checkpoint and all files of expected values of one variant."""
    model = build(variant)
    stored = {name: tensor.to(variant.dtype) for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: tensor.double() for name, tensor in stored.items()})
    save_tensors(out / f"{variant.name}.safetensors", stored, header(variant, model))
    native = model.patch_embed.img_size[0]
    save_tensors(out / f"{variant.name}.expected.safetensors", evaluate(model, native, seed=2))
    for size in variant.sizes:
        resized = copy.deepcopy(model)
        resized.set_input_size((size, size))
        expected = evaluate(resized, size, seed=3)
        kept = {name: expected[name] for name in ("inputs", "logits")} | {
            "pos_embed": resized.pos_embed.float()
        }
        save_tensors(out / f"{variant.name}.size{size}.expected.safetensors", kept)


def make_pos_embed(out: Path) -> None:
    """Position embeddings of a 7x7 grid behind one prefix token, resampled by timm to other grids."""
    generator = torch.Generator().manual_seed(4)
    source = torch.randn(1, 1 + 7 * 7, 6, generator=generator)
    tensors = {"source": source}
    for rows, columns in [(1, 1), (3, 3), (4, 4), (5, 9), (6, 6), (8, 8), (10, 7), (14, 14)]:
        tensors[f"grid.{rows}x{columns}"] = resample_abs_pos_embed(
            source, [rows, columns], [7, 7], num_prefix_tokens=1
        )
    save_tensors(out / "pos_embed.safetensors", tensors)


def make_hub(out: Path) -> None:
    """A checkpoint as timm puts it on the hub: configuration in config.json, none in the header."""
    # timm does not keep the arguments of a model that was built by hand, so they are passed on explicitly.
    arguments = {key: value for key, value in BASE.items() if key != "num_classes"}
    model = create_model("vit_tiny_patch16_224", num_classes=CLASSES, **arguments).eval()
    randomise(model, seed=5)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    save_for_hf(model, out, model_args=arguments, safe_serialization=True)
    (out / "model.safetensors").chmod(0o644)
    save_tensors(out / "expected.safetensors", evaluate(model.double(), IMAGE, seed=6))


def main() -> None:
    """Writes all variants."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="directory that gets vit/ and timm/")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    for variant in VARIANTS:
        make_variant(variant, out / "vit")
    make_pos_embed(out / "vit")
    make_hub(out / "timm" / "vit_tiny")


if __name__ == "__main__":
    main()
