"""Golden values for ConvNeXt: tiny random models of timm's and of the transformers library, and the real costs.

convnext/NAME.safetensors is a checkpoint with timm's tensor names and the configuration in the header, and
NAME.expected.safetensors has `inputs` [n, channels, size, size] float32, `logits` [n, classes], `hidden.i`
[n, height, width, hidden] of block i after its GELU and `stage.s` [n, height, width, dim] that leaves stage
s, all float64: the forward pass runs in double on the weights as stored. convnext/hf has the same beside
config.json and preprocessor_config.json. costs_convnext.json holds parameters and multiply-accumulates of
the three models of the paper, the latter counted by fvcore. Needs torch, timm, transformers, safetensors and
fvcore.
"""

import argparse
import json
from dataclasses import dataclass, field
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
from timm.layers import Mlp
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn
from transformers import ConvNextConfig, ConvNextForImageClassification

CLASSES = 7


@dataclass
class Variant:
    """One golden network: image size, constructor arguments, hidden widths of all blocks, header entries."""

    name: str
    size: int = 32
    arguments: dict[str, object] = field(default_factory=dict)
    widths: list[int] | None = None
    metadata: dict[str, str] = field(default_factory=dict)


VARIANTS = [
    Variant("plain"),
    # Maps of 11, 5, 2 and 1 pixels a side: the first two lose their last row and column.
    Variant("widths", size=46, widths=[17, 40, 5, 33, 64]),
    Variant(
        "options",
        size=24,
        arguments={
            "in_chans": 1,
            "patch_size": 3,
            "ls_init_value": None,
            "act_layer": "gelu_tanh",
            "norm_eps": 0.01,
        },
        metadata={"activation": "gelu_tanh", "layer_norm_eps": "0.01"},
    ),
]


def build(variant: Variant) -> ConvNeXt:
    """The network of one variant in double precision."""
    arguments = {"depths": (1, 1, 2, 1), "dims": (8, 12, 20, 24), "num_classes": CLASSES}
    model = ConvNeXt(**(arguments | variant.arguments))
    blocks = [block for stage in model.stages for block in stage.blocks]
    for block, width in zip(blocks, variant.widths or [], strict=variant.widths is not None):
        block.mlp = Mlp(block.mlp.fc1.in_features, width, act_layer=type(block.mlp.act))
    model = model.double().eval()
    randomise(model, seed=sum(variant.name.encode()))
    return model


def header(variant: Variant, model: ConvNeXt) -> dict[str, str]:
    """What a checkpoint's tensors do not say."""
    return {
        "architecture": "convnext_golden",
        "image_size": json.dumps(variant.size),
        "mean": json.dumps(IMAGENET_MEAN[: model.in_chans]),
        "std": json.dumps(IMAGENET_STD[: model.in_chans]),
        "crop_pct": "0.875",
        "interpolation": "bicubic",
        "class_names": json.dumps([f"class {i}" for i in range(CLASSES)]),
    } | variant.metadata


@torch.inference_mode()
def evaluate(
    model: nn.Module, inputs: Tensor, activations: list[nn.Module], stages: list[nn.Module]
) -> dict[str, Tensor]:
    """Logits, what each block's hidden layer holds after its GELU, and what leaves each stage, channels last."""
    with observed(activations) as hidden, observed(stages) as maps:
        output = model(inputs.double())
    logits = output if isinstance(output, Tensor) else output.logits
    return (
        {"inputs": inputs, "logits": logits}
        | {f"hidden.{i}": h for i, h in enumerate(hidden)}
        | {f"stage.{i}": m.permute(0, 2, 3, 1) for i, m in enumerate(maps)}
    )


def make_variant(variant: Variant, out: Path) -> None:
    """Writes the checkpoint and the expected values of one variant."""
    model = build(variant)
    stored = {name: tensor.float() for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: tensor.double() for name, tensor in stored.items()})
    save_tensors(out / f"{variant.name}.safetensors", stored, header(variant, model))
    activations = [block.mlp.act for stage in model.stages for block in stage.blocks]
    inputs = draw_inputs(variant.size, seed=2, channels=model.in_chans)
    save_tensors(
        out / f"{variant.name}.expected.safetensors",
        evaluate(model, inputs, activations, list(model.stages)),
    )


def make_hugging_face(out: Path) -> None:
    """A checkpoint of the transformers library, as it is on the hub."""
    config = ConvNextConfig(
        hidden_sizes=[8, 12, 20],
        depths=[1, 2, 1],
        num_stages=3,
        image_size=32,
        # Not so small that a wrong one could not be told.
        layer_norm_eps=0.02,
        id2label={i: f"class {i}" for i in range(CLASSES)},
        label2id={f"class {i}": i for i in range(CLASSES)},
    )
    model = ConvNextForImageClassification(config).eval()
    randomise(model, seed=7)
    model.save_pretrained(out)
    stored = {name: tensor.float() for name, tensor in model.state_dict().items()}
    save_tensors(out / "model.safetensors", stored, {"format": "pt"})
    save_json(out / "config.json", dict(sorted(config.to_dict().items())))
    preprocessor = {
        "crop_pct": 0.875,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": IMAGENET_MEAN,
        "image_processor_type": "ConvNextImageProcessor",
        "image_std": IMAGENET_STD,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": 32},
    }
    save_json(out / "preprocessor_config.json", preprocessor)
    model = model.double()
    stages = model.convnext.encoder.stages
    activations = [layer.act for stage in stages for layer in stage.layers]
    expected = evaluate(model, draw_inputs(32, seed=8), activations, list(stages))
    save_tensors(out / "expected.safetensors", expected)


def describe(name: str) -> dict[str, object]:
    """Shapes and costs of one of the paper's models."""
    model = create_model(name).eval()
    counted = FlopCountAnalysis(model, torch.zeros(1, 3, 224, 224)).unsupported_ops_warnings(False)
    by_operator = counted.by_operator()
    return {
        "dims": [stage.blocks[0].conv_dw.in_channels for stage in model.stages],
        "depths": [len(stage.blocks) for stage in model.stages],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "macs": by_operator["conv"] + by_operator["linear"],
        "macs_fvcore": int(counted.total()),
    }


def main() -> None:
    """Writes all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="directory that gets convnext/")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    for variant in VARIANTS:
        make_variant(variant, out / "convnext")
    make_hugging_face(out / "convnext" / "hf")
    names = [f"convnext_{size}" for size in ("tiny", "small", "base")]
    save_json(out / "costs_convnext.json", {name: describe(name) for name in names})


if __name__ == "__main__":
    main()
