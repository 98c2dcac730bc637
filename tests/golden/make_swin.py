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
import shutil
from functools import partial
from pathlib import Path

import torch
from common import HERE, IMAGENET_MEAN, IMAGENET_STD, draw_inputs, randomise, save_json, save_tensors
from stages import CLASSES, Variant, count_costs, evaluate, finish, write_variant
from timm import create_model
from timm.layers import GELUTanh
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn
from transformers import SwinConfig, SwinForImageClassification

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
    return finish(model, model.layers, variant)


def to_map(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """What leaves a stage, which a block of the transformers library has in a tuple."""
    return output if isinstance(output, Tensor) else output[0]


def make_variant(variant: Variant, out: Path) -> None:
    """Writes the checkpoint and the expected values of one variant."""
    model = build(variant)
    header = {"architecture": "swin_golden", "crop_pct": "0.9"}
    write_variant(model, model.layers, variant, header, to_map, out)


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
    expected = evaluate(model, draw_inputs(28, seed=8), activations, stages, to_map)
    save_tensors(out / "expected.safetensors", expected)


def describe(name: str) -> dict[str, object]:
    """Shapes and costs of one of the paper's models."""
    model = create_model(name).eval()
    blocks = [layer.blocks[0] for layer in model.layers]
    return {
        "dims": [block.dim for block in blocks],
        "depths": [len(layer.blocks) for layer in model.layers],
        "heads": [block.attn.num_heads for block in blocks],
        "window": blocks[0].window_size[0],
    } | count_costs(model, ["conv", "linear", "matmul"])


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
