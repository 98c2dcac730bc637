"""Golden checkpoints of the transformers library: tiny random models from `save_pretrained`, and logits.

Every hf/NAME gets model.safetensors, config.json, preprocessor_config.json and expected.safetensors with
`inputs` [n, 3, size, size] float32, `logits` [n, classes] and `hidden.i` [n, tokens, hidden] of block i after
its GELU, both float64: the forward pass runs in double on the float32 weights. Tensor names are those of the
checkpoints on the hub, which newer releases of transformers rename inside the model only. Needs torch,
transformers and safetensors.
"""

import argparse
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
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
from safetensors import safe_open
from transformers import PreTrainedModel

IMAGE, PATCH, DIM, CLASSES = 16, 4, 24, 7
SHARED = dict(
    hidden_size=DIM,
    num_hidden_layers=2,
    num_attention_heads=2,
    image_size=IMAGE,
    patch_size=PATCH,
    id2label={i: f"class {i}" for i in range(CLASSES)},
    label2id={f"class {i}": i for i in range(CLASSES)},
)

# What preprocessor_config.json holds on the hub, in three spellings met there: sizes as plain numbers with
# the old "feature_extractor_type", as height and width, and as the shorter edge before a centre crop.
PLAIN_NUMBERS = {
    "crop_size": IMAGE,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "DeiTFeatureExtractor",
    "image_mean": IMAGENET_MEAN,
    "image_std": IMAGENET_STD,
    "resample": 3,
    "size": 18,
}
HEIGHT_AND_WIDTH = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": IMAGE, "width": IMAGE},
}
SHORTEST_EDGE = {
    "crop_size": {"height": IMAGE, "width": IMAGE},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": IMAGENET_MEAN,
    "image_processor_type": "BitImageProcessor",
    "image_std": IMAGENET_STD,
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 18},
}

VIT_TENSORS = r"""
    (vit|deit)\.embeddings\.(cls_token|distillation_token|position_embeddings)
    | (vit|deit)\.embeddings\.patch_embeddings\.projection\.(weight|bias)
    | (vit|deit)\.encoder\.layer\.\d+\.(
          attention\.attention\.(query|key|value) | attention\.output\.dense
        | intermediate\.dense | output\.dense | layernorm_before | layernorm_after)\.(weight|bias)
    | (vit|deit)\.layernorm\.(weight|bias)
    | (classifier|cls_classifier|distillation_classifier)\.(weight|bias)
"""
DINO_TENSORS = r"""
    (dinov2|dinov2_with_registers)\.embeddings\.(cls_token|mask_token|register_tokens|position_embeddings)
    | (dinov2|dinov2_with_registers)\.embeddings\.patch_embeddings\.projection\.(weight|bias)
    | (dinov2|dinov2_with_registers)\.encoder\.layer\.\d+\.(
          (attention\.attention\.(query|key|value) | attention\.output\.dense | mlp\.fc[12] | norm[12])
          \.(weight|bias) | layer_scale[12]\.lambda1)
    | (dinov2|dinov2_with_registers)\.layernorm\.(weight|bias)
    | classifier\.(weight|bias)
"""


@dataclass
class Variant:
    """One golden model: class, configuration beside SHARED, preprocessing, tensor names it may have."""

    name: str
    model: type[PreTrainedModel]
    preprocessor: dict[str, object]
    tensors: str
    arguments: dict[str, object] = field(default_factory=dict)


VARIANTS = [
    Variant(
        "vit",
        transformers.ViTForImageClassification,
        HEIGHT_AND_WIDTH,
        VIT_TENSORS,
        {"intermediate_size": 48},
    ),
    Variant(
        "vit_gelu_tanh",
        transformers.ViTForImageClassification,
        HEIGHT_AND_WIDTH,
        VIT_TENSORS,
        {
            "intermediate_size": 40,
            "hidden_act": "gelu_pytorch_tanh",
            "qkv_bias": False,
            "layer_norm_eps": 1e-3,
        },
    ),
    Variant(
        "deit", transformers.DeiTForImageClassification, PLAIN_NUMBERS, VIT_TENSORS, {"intermediate_size": 48}
    ),
    Variant(
        "deit_distilled",
        transformers.DeiTForImageClassificationWithTeacher,
        PLAIN_NUMBERS,
        VIT_TENSORS,
        {"intermediate_size": 48},
    ),
    Variant(
        "dinov2",
        transformers.Dinov2ForImageClassification,
        SHORTEST_EDGE,
        DINO_TENSORS,
        {"mlp_ratio": 2, "layer_norm_eps": 1e-6},
    ),
    Variant(
        "dinov2_registers",
        transformers.Dinov2WithRegistersForImageClassification,
        SHORTEST_EDGE,
        DINO_TENSORS,
        {"mlp_ratio": 2, "layer_norm_eps": 1e-6, "num_register_tokens": 4},
    ),
]


def check_names(path: Path, pattern: str) -> None:
    """Refuses a file whose tensors have other names than the checkpoints on the hub."""
    with safe_open(path, "pt") as file:
        strange = [name for name in file.keys() if not re.fullmatch(pattern, name, re.VERBOSE)]
    if strange:
        raise RuntimeError(f"{path}: names that hub checkpoints do not have: {', '.join(strange)}")


@torch.inference_mode()
def make_variant(variant: Variant, out: Path) -> None:
    """Writes one model, its configuration files and its expected values."""
    model = variant.model(variant.model.config_class(**(SHARED | variant.arguments))).eval()
    randomise(model, seed=sum(variant.name.encode()))
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    check_names(out / "model.safetensors", variant.tensors)
    save_json(out / "preprocessor_config.json", variant.preprocessor)

    inputs = draw_inputs(IMAGE, seed=7)
    activations = [module for name, module in model.named_modules() if name.endswith("mlp.activation_fn")]
    with observed(activations) as hidden:
        logits = model.double()(inputs.double()).logits
    tensors = {"inputs": inputs, "logits": logits} | {f"hidden.{i}": h for i, h in enumerate(hidden)}
    save_tensors(out / "expected.safetensors", tensors)


def main() -> None:
    """Writes all variants."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=HERE / "hf", help="directory that gets one folder a model"
    )
    out = parser.parse_args().out
    torch.set_num_threads(1)
    for variant in VARIANTS:
        make_variant(variant, out / variant.name)


if __name__ == "__main__":
    main()
