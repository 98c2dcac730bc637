"""What the scripts of the families with stages share: golden networks, what PyTorch makes of them, and costs."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from common import IMAGENET_MEAN, IMAGENET_STD, draw_inputs, observed, randomise, save_tensors
from fvcore.nn import FlopCountAnalysis
from timm.layers import Mlp
from torch import Tensor, nn

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


def finish(model: nn.Module, stages: Sequence[nn.Module], variant: Variant) -> nn.Module:
    """Gives a new network the variant's MLPs and random weights, in double precision."""
    blocks = [block for stage in stages for block in stage.blocks]
    widths = variant.widths or [block.mlp.fc1.out_features for block in blocks]
    for block, width in zip(blocks, widths, strict=True):
        block.mlp = Mlp(block.mlp.fc1.in_features, width, act_layer=variant.activation)
    model = model.double().eval()
    randomise(model, seed=sum(variant.name.encode()))
    return model


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    inputs: Tensor,
    activations: list[nn.Module],
    stages: Sequence[nn.Module],
    to_map: Callable[[object], Tensor],
) -> dict[str, Tensor]:
    """Logits, what each block's hidden layer holds after its GELU, and what leaves each stage.

    to_map makes [n, height, width, dim] of what a stage returns.
    """
    with observed(activations) as hidden, observed(list(stages)) as outputs:
        output = model(inputs.double())
    logits = output if isinstance(output, Tensor) else output.logits
    return (
        {"inputs": inputs, "logits": logits}
        | {f"hidden.{i}": h for i, h in enumerate(hidden)}
        | {f"stage.{i}": to_map(stage) for i, stage in enumerate(outputs)}
    )


def write_variant(
    model: nn.Module,
    stages: Sequence[nn.Module],
    variant: Variant,
    header: dict[str, str],
    to_map: Callable[[object], Tensor],
    out: Path,
) -> None:
    """Writes the checkpoint and the expected values of a variant; header says what every one's has."""
    stored = {name: tensor.float() for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: tensor.double() for name, tensor in stored.items()})
    header = header | {
        "image_size": json.dumps(variant.size),
        "mean": json.dumps(IMAGENET_MEAN[: model.in_chans]),
        "std": json.dumps(IMAGENET_STD[: model.in_chans]),
        "interpolation": "bicubic",
        "class_names": json.dumps([f"class {i}" for i in range(CLASSES)]),
    }
    save_tensors(out / f"{variant.name}.safetensors", stored, header | variant.metadata)
    activations = [block.mlp.act for stage in stages for block in stage.blocks]
    inputs = draw_inputs(variant.size, seed=2, channels=model.in_chans)
    expected = evaluate(model, inputs, activations, stages, to_map)
    save_tensors(out / f"{variant.name}.expected.safetensors", expected)


def count_costs(model: nn.Module, operators: Sequence[str]) -> dict[str, int]:
    """Parameters and, of these operators alone and of all that fvcore counts, multiply-accumulates."""
    counted = FlopCountAnalysis(model, torch.zeros(1, 3, 224, 224)).unsupported_ops_warnings(False)
    by_operator = counted.by_operator()
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "macs": sum(by_operator[operator] for operator in operators),
        "macs_fvcore": int(counted.total()),
    }
