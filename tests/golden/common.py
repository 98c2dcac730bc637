"""What these scripts share: seeded weights, observed activations, and files for the C++ tests."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def randomise(model: nn.Module, seed: int) -> None:
    """Draws every parameter anew: none is zero or one, so a term left out anywhere changes the logits."""
    generator = torch.Generator().manual_seed(seed)

    def normal(parameter: Tensor) -> Tensor:
        return torch.randn(parameter.shape, generator=generator, dtype=torch.float64)

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            value = normal(parameter)
            if any(part in name for part in ("gamma", "lambda1")):  # layer scale
                value = 0.7 + 0.3 * value
            elif "norm" in name and name.endswith("weight"):
                value = 1 + 0.3 * value
            elif name.endswith("bias"):
                value = 0.3 * value
            elif name.endswith("weight"):
                value = 1.3 * value / math.sqrt(parameter[0].numel())
            else:  # tokens and position embeddings
                value = 0.5 * value
            parameter.copy_(value.to(parameter.dtype))


def draw_inputs(size: int, seed: int, count: int = 2, channels: int = 3) -> Tensor:
    """Preprocessed images [count, channels, size, size], standard normal, exact in float32."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, size, size, generator=generator)


@contextmanager
def observed(activations: list[nn.Module]) -> Iterator[list[Tensor]]:
    """Collects the output of every given activation module, [images, tokens, hidden] each, in order."""
    seen: list[Tensor] = [torch.empty(0)] * len(activations)
    handles = []
    for i, module in enumerate(activations):

        def hook(_module: nn.Module, _inputs: object, output: Tensor, i: int = i) -> None:
            seen[i] = output

        handles.append(module.register_forward_hook(hook))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Writes a safetensors file of contiguous tensors and makes its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, path, metadata
    )
    path.chmod(0o644)  # safetensors leaves it readable by its owner alone
    if metadata:
        sort_metadata(path)


def sort_metadata(path: Path) -> None:
    """Sorts the header's metadata, which safetensors shuffles, so the same values give the same file."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])


def save_json(path: Path, value: object) -> None:
    """Writes indented JSON with a newline at the end and makes its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")
