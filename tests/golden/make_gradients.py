"""Golden values for training: gradients of the tiny networks of the other scripts, and ten steps of AdamW.

train/NAME.gradients.safetensors holds `inputs` [4, channels, size, size], `labels` [4] and, computed by PyTorch
in float32, `loss`, the mean cross-entropy, and `gradient.PARAMETER` for every parameter of vit/NAME.safetensors.
train/FAMILY_NAME.gradients.safetensors has the same of FAMILY/NAME.safetensors, convnext or swin, but the inputs, which
are those of FAMILY/NAME.expected.safetensors.
train/steps.safetensors holds ten steps of the network `layer_scale` on one batch, taught by `plain`: `inputs`,
`labels`, `losses` [10] before each step, `norms` [10] of the gradient before clipping, and
`weights.PARAMETER` after the last. The loss is alpha * cross-entropy with label smoothing + beta * T^2 *
KL(teacher || student); its numbers, and those of optimiser and schedule, are in the metadata. Needs torch,
timm and safetensors.
"""

import argparse
import json
import math
from pathlib import Path

import make_convnext
import make_swin
import torch
import torch.nn.functional as F
from common import HERE, draw_inputs, save_tensors
from make_vit import VARIANTS, build
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

NAMES = [
    "plain",
    "average_pool",
    "average_pool_norm_first",
    "no_class_token",
    "layer_scale",
    "gelu_tanh",
    "distilled",
    "registers",
    "no_qkv_bias",
    "widths",
]
STEPS = 10
SETTINGS = {
    "alpha": 0.7,
    "beta": 0.3,
    "temperature": 2.0,
    "smoothing": 0.1,
    "learning_rate": 2e-3,
    "minimum_learning_rate": 1e-4,
    "warmup_steps": 3,
    "weight_decay": 0.05,
    "clip_norm": 1.0,
}


def load(name: str) -> VisionTransformer:
    """The network of one variant with the weights of its checkpoint, in float32."""
    variant = next(variant for variant in VARIANTS if variant.name == name)
    model = build(variant).float().eval()
    model.load_state_dict(load_file(HERE / "vit" / f"{name}.safetensors"))
    return model


def draw_labels(count: int, classes: int) -> Tensor:
    """Labels of all classes in turn."""
    return torch.arange(count) * 3 % classes


def differentiate(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """One forward and backward pass: labels, loss and gradients."""
    labels = draw_labels(len(inputs), model.num_classes)
    loss = F.cross_entropy(model(inputs), labels)
    loss.backward()
    gradients = {f"gradient.{name}": parameter.grad for name, parameter in model.named_parameters()}
    return {"labels": labels, "loss": loss.reshape(1)} | gradients


def make_gradients(name: str, out: Path) -> None:
    """Those of a Vision Transformer."""
    model = load(name)
    inputs = draw_inputs(model.patch_embed.img_size[0], seed=7, count=4)
    save_tensors(out / f"{name}.gradients.safetensors", {"inputs": inputs} | differentiate(model, inputs))


def make_family_gradients(family: str, model: nn.Module, name: str, out: Path) -> None:
    """Those of another family, whose files are in a folder of its own."""
    model.float().load_state_dict(load_file(HERE / family / f"{name}.safetensors"), strict=False)
    inputs = load_file(HERE / family / f"{name}.expected.safetensors")["inputs"]
    save_tensors(out / f"{family}_{name}.gradients.safetensors", differentiate(model, inputs))


def has_decay(name: str, parameter: Tensor) -> bool:
    """Weight matrices alone; tokens and positions are no vectors but have none."""
    return parameter.ndim > 1 and name not in ("cls_token", "dist_token", "reg_token", "pos_embed")


def learning_rate(step: int) -> float:
    """Linear warm-up, then half a cosine."""
    peak, lowest = SETTINGS["learning_rate"], SETTINGS["minimum_learning_rate"]
    warmup = SETTINGS["warmup_steps"]
    if step < warmup:
        return peak * (step + 1) / warmup
    return lowest + 0.5 * (peak - lowest) * (1 + math.cos(math.pi * (step - warmup) / (STEPS - warmup)))


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student), the mean over the batch."""
    log_student = F.log_softmax(student / temperature, dim=1)
    probabilities = F.softmax(teacher / temperature, dim=1)
    return temperature**2 * F.kl_div(log_student, probabilities, reduction="batchmean")


def make_steps(out: Path) -> None:
    """Ten steps on one batch."""
    model, teacher = load("layer_scale"), load("plain")
    inputs = draw_inputs(model.patch_embed.img_size[0], seed=8, count=8)
    labels = draw_labels(8, model.num_classes)
    groups = [
        {"params": [p for n, p in model.named_parameters() if has_decay(n, p)]},
        {"params": [p for n, p in model.named_parameters() if not has_decay(n, p)], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=SETTINGS["weight_decay"])
    with torch.no_grad():
        teacher_logits = teacher(inputs)
    losses, norms = [], []
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step)
        logits = model(inputs)
        loss = SETTINGS["alpha"] * F.cross_entropy(logits, labels, label_smoothing=SETTINGS["smoothing"])
        loss = loss + SETTINGS["beta"] * distillation(logits, teacher_logits, SETTINGS["temperature"])
        optimiser.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["clip_norm"]))
        optimiser.step()
        losses.append(loss.detach())
    tensors = {"inputs": inputs, "labels": labels, "losses": torch.stack(losses), "norms": torch.stack(norms)}
    for name, parameter in model.named_parameters():
        tensors[f"weights.{name}"] = parameter
    save_tensors(out / "steps.safetensors", tensors, {k: json.dumps(v) for k, v in SETTINGS.items()})


def main() -> None:
    """Writes all files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "train", help="directory that gets the files")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    for name in NAMES:
        make_gradients(name, out)
    for family, script in (("convnext", make_convnext), ("swin", make_swin)):
        for variant in script.VARIANTS:
            make_family_gradients(family, script.build(variant), variant.name, out)
    make_steps(out)


if __name__ == "__main__":
    main()
