"""Weights of the released LEGO code (a PyTorch state dict) as one of our fusions.

embedding_v.fc1.{weight,bias}   projection of the visual features, (32, d_v)
embedding_t.fc1.{weight,bias}   projection of the text features
graphfusion.a                   operator, (m, n, 1, 1, 1); m and n count powers, so P = m - 1, Q = n - 1
normal_head.fc1.*, .fc2.*       the two layers on every row of G
normal_head.bn*                 left in the file, used by nothing
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from core.fusion.lego import Lego, LegoConfig

WANTED = (
    "embedding_v.fc1.weight",
    "embedding_v.fc1.bias",
    "embedding_t.fc1.weight",
    "embedding_t.fc1.bias",
    "graphfusion.a",
    "normal_head.fc1.weight",
    "normal_head.fc1.bias",
    "normal_head.fc2.weight",
    "normal_head.fc2.bias",
)


def lego(state: Mapping[str, Tensor], modalities: tuple[str, str] = ("visual", "text")) -> Lego:
    """The released model with its gate (sigmoid) and its scaling (by the batch's maximum).

    Errors: `ValueError` listing missing and unexpected keys, or the first shape that does not fit.
    """
    state = {key.removeprefix("module."): value for key, value in state.items()}
    missing = [key for key in WANTED if key not in state]
    unexpected = [key for key in state if key not in WANTED and not key.startswith("normal_head.bn")]
    if missing or unexpected:
        parts = [f"missing {', '.join(missing)}"] if missing else []
        parts += [f"unexpected {', '.join(sorted(unexpected)[:6])}"] if unexpected else []
        raise ValueError(f"this is no checkpoint of the released LEGO code: {'; '.join(parts)}")
    a = state["graphfusion.a"]
    if a.ndim < 2 or a.numel() != a.shape[0] * a.shape[1]:
        raise ValueError(f"graphfusion.a has shape {tuple(a.shape)}, wanted (m, n, 1, 1, 1)")
    visual, text = state["embedding_v.fc1.weight"], state["embedding_t.fc1.weight"]
    if visual.shape[0] != text.shape[0]:
        raise ValueError(f"the projections end in widths {visual.shape[0]} and {text.shape[0]}; they must agree")
    nodes = state["normal_head.fc1.weight"].shape[0]
    config = LegoConfig(
        P=a.shape[0] - 1,
        Q=a.shape[1] - 1,
        project=visual.shape[0],
        nodes=nodes,
        head="row",
        gate="sigmoid",
        rescale="batch",
        regulariser="released",
    )
    model = Lego(dict(zip(modalities, (visual.shape[1], text.shape[1]), strict=True)), config)
    mapped = {"A": a.reshape(a.shape[:2])}
    for theirs, ours in (
        ("embedding_v", f"project.of_{modalities[0]}"),
        ("embedding_t", f"project.of_{modalities[1]}"),
    ):
        mapped |= {f"{ours}.{part}": state[f"{theirs}.fc1.{part}"] for part in ("weight", "bias")}
    mapped |= {
        f"head.{layer}.{p}": state[f"normal_head.{layer}.{p}"] for layer in ("fc1", "fc2") for p in ("weight", "bias")
    }
    own = model.state_dict()
    for key, value in mapped.items():
        if value.shape != own[key].shape:
            raise ValueError(f"{key} has shape {tuple(value.shape)}, wanted {tuple(own[key].shape)}")
        if not value.isfinite().all():
            raise ValueError(f"{key} holds NaN or infinite values")
    model.load_state_dict({key: value.to(torch.float32) for key, value in mapped.items()})
    return model.eval()
