"""Writes costs.json: parameters and multiply-accumulates of the DeiT models, for the cost tests.

timm builds the models without weights. The MACs come from a closed formula and are checked against PyTorch's
own operator counter, which sees two FLOPs a MAC; `macs_fvcore` adds 5 per LayerNorm element, as fvcore does.
With fvcore installed, `--check-fvcore` compares that number with fvcore itself. Needs torch and timm.
"""

import argparse
from pathlib import Path

import torch
from common import HERE, save_json
from timm import create_model
from timm.layers import set_fused_attn
from timm.models.vision_transformer import VisionTransformer
from torch.utils.flop_counter import FlopCounterMode

MODELS = [
    f"deit_{size}{kind}_patch16_224" for kind in ("", "_distilled") for size in ("tiny", "small", "base")
]


def costs(model: VisionTransformer) -> dict[str, int]:
    """Multiply-accumulates of one image, by kind of layer."""
    dim, depth = model.embed_dim, len(model.blocks)
    patches, patch = model.patch_embed.num_patches, model.patch_embed.patch_size[0]
    tokens = patches + model.num_prefix_tokens
    hidden = model.blocks[0].mlp.fc1.out_features
    heads = 2 if hasattr(model, "head_dist") else 1
    return {
        "patch_embed": patches * model.in_chans * patch * patch * dim,
        "qkv": depth * tokens * dim * 3 * dim,
        "attention_products": depth * 2 * tokens * tokens * dim,  # Q K^T and A V
        "attention_output": depth * tokens * dim * dim,
        "mlp": depth * 2 * tokens * dim * hidden,
        "head": heads * dim * model.num_classes,
    }


def layer_norm_elements(model: VisionTransformer) -> int:
    """Elements that pass through a LayerNorm for one image: two a block and the last one, over all tokens."""
    tokens = model.patch_embed.num_patches + model.num_prefix_tokens
    return (2 * len(model.blocks) + 1) * tokens * model.embed_dim


def counted_macs(model: VisionTransformer) -> int:
    """The same by PyTorch's operator counter, on the meta device."""
    image = torch.empty(1, model.in_chans, *model.patch_embed.img_size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2


def fvcore_macs(name: str) -> int:
    """The same by fvcore, which traces a real forward pass."""
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(create_model(name).eval(), torch.zeros(1, 3, 224, 224))
    return int(analysis.unsupported_ops_warnings(False).total())


def describe(name: str) -> dict[str, object]:
    """One entry of costs.json: the shapes that decide the costs, then the costs."""
    with torch.device("meta"):
        model = create_model(name).eval()
    layers = costs(model)
    macs = sum(layers.values())
    if macs != counted_macs(model):
        raise RuntimeError(f"{name}: the formula gives {macs} MACs, PyTorch's counter {counted_macs(model)}")
    elements = layer_norm_elements(model)
    return {
        "image_size": model.patch_embed.img_size[0],
        "patch_size": model.patch_embed.patch_size[0],
        "dim": model.embed_dim,
        "depth": len(model.blocks),
        "heads": model.blocks[0].attn.num_heads,
        "hidden": model.blocks[0].mlp.fc1.out_features,
        "classes": model.num_classes,
        "prefix_tokens": model.num_prefix_tokens,
        "distilled": hasattr(model, "head_dist"),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "macs": macs,
        "macs_by_layer": layers,
        "layer_norm_elements": elements,
        "macs_fvcore": macs + 5 * elements,
    }


def main() -> None:
    """Counts all models and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "costs.json")
    parser.add_argument(
        "--check-fvcore", action="store_true", help="compare with fvcore, which must be installed"
    )
    args = parser.parse_args()
    set_fused_attn(False)  # so that the counters see the two products
    table = {name: describe(name) for name in MODELS}
    if args.check_fvcore:
        for name, entry in table.items():
            if fvcore_macs(name) != entry["macs_fvcore"]:
                raise RuntimeError(f"{name}: {entry['macs_fvcore']} here, {fvcore_macs(name)} by fvcore")
    save_json(args.out, table)


if __name__ == "__main__":
    main()
