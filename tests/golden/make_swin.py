"""Writes swin/ and costs_swin.json: small random Swin Transformers and what PyTorch makes of them.

Of each timm variant NAME.safetensors is a checkpoint (metadata: the configuration and the preprocessing) and
NAME.expected.safetensors what that network computes: "inputs" [n, channels, size, size] in float32, and in
float64 "logits" [n, classes], "hidden.I" [n, side, side, hidden] after the GELU of block I, "stage.I" [n,
side, side, dim] behind stage I. swin/hf holds the same of one small model of the transformers library, with
its config.json and preprocessor_config.json. costs_swin.json holds parameters and multiply-accumulates of the
three models of the paper, the latter counted by fvcore. Needs torch, timm, transformers, safetensors and
fvcore.
"""

import argparse
import json
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from common import (
    HERE,
    IMAGENET_MEAN,
    IMAGENET_STD,
    draw_inputs,
    observed,
    randomise,
    save_json,
    save_tensors,
)
from fvcore.nn import FlopCountAnalysis
from timm import create_model
from timm.layers import GELUTanh, Mlp
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn
from transformers import SwinConfig, SwinForImageClassification

CLASSES = 7


@dataclass
class Variant:
    """One golden network: image size, constructor arguments, hidden widths of all blocks, header entries."""

    name: str
    size: int = 32
    arguments: dict[str, object] = field(default_factory=dict)
    widths: list[int] | None = None
    activation: type[nn.Module] = nn.GELU
    metadata: dict[str, str] = field(default_factory=dict)


VARIANTS = [
    # Maps of 8, 4 and 2 pixels a side: four windows, one, and one that is smaller than asked for.
    Variant("plain", arguments={"window_size": 4, "mlp_ratio": 4}),
    # Maps of 7, 4 and 2 pixels a side: the first two are filled up to 9 and 6, and the first one is merged.
    Variant("widths", size=28, arguments={"window_size": 3}, widths=[17, 40, 5, 33, 64]),
    Variant(
        "options",
        size=24,
        arguments={
            "in_chans": 1,
            "patch_size": 3,
            "window_size": [3, 4, 2],
            "num_heads": (1, 3, 4),
            "qkv_bias": False,
            "norm_layer": partial(nn.LayerNorm, eps=0.01),
        },
        activation=GELUTanh,
        metadata={"activation": "gelu_tanh", "layer_norm_eps": "0.01"},
    ),
]


def build(variant: Variant) -> SwinTransformer:
    """The network of one variant in double precision."""
    arguments = {
        "img_size": variant.size,
        "embed_dim": 6,
        "depths": (2, 2, 1),
        "num_heads": (2, 2, 4),
        "mlp_ratio": 2,
        "num_classes": CLASSES,
    }
    model = SwinTransformer(**(arguments | variant.arguments))
    blocks = [block for layer in model.layers for block in layer.blocks]
    for i, block in enumerate(blocks):
        width = variant.widths[i] if variant.widths else block.mlp.fc1.out_features
        block.mlp = Mlp(block.dim, width, act_layer=variant.activation)
    model = model.double().eval()
    randomise(model, seed=sum(variant.name.encode()))
    return model


def header(variant: Variant, model: SwinTransformer) -> dict[str, str]:
    """What a checkpoint's tensors do not say."""
    return {
        "architecture": "swin_golden",
        "image_size": json.dumps(variant.size),
        "mean": json.dumps(IMAGENET_MEAN[: model.in_chans]),
        "std": json.dumps(IMAGENET_STD[: model.in_chans]),
        "crop_pct": "0.9",
        "interpolation": "bicubic",
        "class_names": json.dumps([f"class {i}" for i in range(CLASSES)]),
    } | variant.metadata


@torch.inference_mode()
def evaluate(
    model: nn.Module, inputs: Tensor, activations: list[nn.Module], stages: list[nn.Module]
) -> dict[str, Tensor]:
    """Logits, what each block's hidden layer holds after its GELU, and what leaves each stage."""
    with observed(activations) as hidden, observed(stages) as maps:
        output = model(inputs.double())
    logits = output if isinstance(output, Tensor) else output.logits
    return (
        {"inputs": inputs, "logits": logits}
        | {f"hidden.{i}": h for i, h in enumerate(hidden)}
        | {f"stage.{i}": m if isinstance(m, Tensor) else m[0] for i, m in enumerate(maps)}
    )


def make_variant(variant: Variant, out: Path) -> None:
    """Writes the checkpoint and the expected values of one variant."""
    model = build(variant)
    stored = {name: tensor.float() for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: tensor.double() for name, tensor in stored.items()})
    save_tensors(out / f"{variant.name}.safetensors", stored, header(variant, model))
    activations = [block.mlp.act for layer in model.layers for block in layer.blocks]
    inputs = draw_inputs(variant.size, seed=2, channels=model.in_chans)
    save_tensors(
        out / f"{variant.name}.expected.safetensors",
        evaluate(model, inputs, activations, list(model.layers)),
    )


def make_hugging_face(out: Path) -> None:
    """A checkpoint of the transformers library, as it is on the hub."""
    config = SwinConfig(
        embed_dim=6,
        depths=[2, 2],
        num_heads=[2, 3],
        mlp_ratio=2.0,
        # Maps of 7 and 4 pixels a side, which are filled up before they are shifted.
        image_size=28,
        window_size=3,
        # Not so small that a wrong one could not be told.
        layer_norm_eps=0.02,
        id2label={i: f"class {i}" for i in range(CLASSES)},
        label2id={f"class {i}": i for i in range(CLASSES)},
    )
    model = SwinForImageClassification(config).eval()
    randomise(model, seed=7)
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    preprocessor = {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": IMAGENET_MEAN,
        "image_processor_type": "ViTImageProcessor",
        "image_std": IMAGENET_STD,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"height": 28, "width": 28},
    }
    save_json(out / "preprocessor_config.json", preprocessor)
    model = model.double()
    layers = model.swin.encoder.layers
    activations = [block.mlp.activation_fn for layer in layers for block in layer.blocks]
    stages = [layer.blocks[-1] for layer in layers]
    expected = evaluate(model, draw_inputs(28, seed=8), activations, stages)
    save_tensors(out / "expected.safetensors", expected)


def describe(name: str) -> dict[str, object]:
    """Shapes and costs of one of the paper's models."""
    model = create_model(name).eval()
    counted = FlopCountAnalysis(model, torch.zeros(1, 3, 224, 224)).unsupported_ops_warnings(False)
    by_operator = counted.by_operator()
    blocks = [layer.blocks[0] for layer in model.layers]
    return {
        "dims": [block.dim for block in blocks],
        "depths": [len(layer.blocks) for layer in model.layers],
        "heads": [block.attn.num_heads for block in blocks],
        "window": blocks[0].window_size[0],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "macs": by_operator["conv"] + by_operator["linear"] + by_operator["matmul"],
        "macs_fvcore": int(counted.total()),
    }


def main() -> None:
    """Writes all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="directory that gets swin/")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    for variant in VARIANTS:
        make_variant(variant, out / "swin")
    make_hugging_face(out / "swin" / "hf")
    names = [f"swin_{size}_patch4_window7_224" for size in ("tiny", "small", "base")]
    save_json(out / "costs_swin.json", {name: describe(name) for name in names})


if __name__ == "__main__":
    main()
