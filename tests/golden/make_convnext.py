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
from pathlib import Path

import torch
from common import HERE, IMAGENET_MEAN, IMAGENET_STD, draw_inputs, randomise, save_json, save_tensors
from stages import CLASSES, Variant, count_costs, evaluate, finish, write_variant
from timm import create_model
from timm.layers import GELUTanh
from timm.models.convnext import ConvNeXt
from torch import Tensor
from transformers import ConvNextConfig, ConvNextForImageClassification

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
            "norm_eps": 0.01,
        },
        activation=GELUTanh,
        metadata={"activation": "gelu_tanh", "layer_norm_eps": "0.01"},
    ),
]


def build(variant: Variant) -> ConvNeXt:
    """The network of one variant in double precision."""
    arguments = {
        "depths": (1, 1, 2, 1),
        "dims": (8, 12, 20, 24),
        "num_classes": CLASSES,
        "act_layer": variant.activation,
    }
    model = ConvNeXt(**(arguments | variant.arguments))
    return finish(model, model.stages, variant)


def to_map(output: Tensor) -> Tensor:
    """What leaves a stage, channels last."""
    return output.permute(0, 2, 3, 1)


def make_variant(variant: Variant, out: Path) -> None:
    """Writes the checkpoint and the expected values of one variant."""
    model = build(variant)
    header = {"architecture": "convnext_golden", "crop_pct": "0.875"}
    write_variant(model, model.stages, variant, header, to_map, out)


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
    expected = evaluate(model, draw_inputs(32, seed=8), activations, stages, to_map)
    save_tensors(out / "expected.safetensors", expected)


def describe(name: str) -> dict[str, object]:
    """Shapes and costs of one of the paper's models."""
    model = create_model(name).eval()
    return {
        "dims": [stage.blocks[0].conv_dw.in_channels for stage in model.stages],
        "depths": [len(stage.blocks) for stage in model.stages],
    } | count_costs(model, ["conv", "linear"])


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
