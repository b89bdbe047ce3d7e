"""A language model with an adapter, slow and obvious: the whole model, no cache, no hooks, one record at a time.

The adapter is a subclass of `nn.Linear` put in the place of each adapted module of a copy; the loss is taken from
`log_softmax` over all positions of the model's own logits.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from byheart.memory.encode import EncodedRecord
from byheart.model.adapter import Adapter


class LoraLinear(nn.Linear):
    """W x + b + scale · B A x."""

    def __init__(self, frozen: nn.Linear, lora_A: Tensor, lora_B: Tensor, scale: float) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = frozen.in_features, frozen.out_features
        self.weight, self.bias = frozen.weight, frozen.bias
        self.lora_A = nn.Parameter(lora_A.detach().clone())
        self.lora_B = nn.Parameter(lora_B.detach().clone())
        self.scale = scale

    def forward(self, input: Tensor) -> Tensor:
        lora_A, lora_B = self.lora_A.to(input.dtype), self.lora_B.to(input.dtype)
        return F.linear(input, self.weight, self.bias) + self.scale * (input @ lora_A.T @ lora_B.T)


class BypassBlock(nn.Module):
    """block(x) + scale · B A x, around a whole block."""

    def __init__(self, block: nn.Module, lora_A: Tensor, lora_B: Tensor, scale: float) -> None:
        super().__init__()
        self.block = block
        self.lora_A = nn.Parameter(lora_A.detach().clone())
        self.lora_B = nn.Parameter(lora_B.detach().clone())
        self.scale = scale

    def forward(self, hidden: Tensor) -> Tensor:
        lora_A, lora_B = self.lora_A.to(hidden.dtype), self.lora_B.to(hidden.dtype)
        return self.block(hidden) + self.scale * (hidden @ lora_A.T @ lora_B.T)


def with_lora(model: nn.Module, adapter: Adapter) -> nn.Module:
    """A copy of ``model`` with the adapter's weights built into it."""
    adapted = copy.deepcopy(model)
    kind = BypassBlock if adapter.placement.is_bypass else LoraLinear
    for site, lora_A, lora_B in zip(adapter.placement.sites, adapter.lora_A, adapter.lora_B, strict=True):
        frozen = adapted.get_submodule(site.path)
        scale = adapter.placement.lora_alpha / adapter.placement.lora_rank
        adapted.set_submodule(site.path, kind(frozen, lora_A, lora_B, scale))  # type: ignore[arg-type]
    return adapted


def gradients(adapted: nn.Module, adapter: Adapter) -> list[Tensor]:
    """Of the matrices of `with_lora`, in the order of ``adapter.parameters()``: all A, then all B."""
    sites = [adapted.get_submodule(site.path) for site in adapter.placement.sites]
    return [site.lora_A.grad for site in sites] + [site.lora_B.grad for site in sites]  # type: ignore[misc]


def answer_nll(model: Callable[..., object], record: EncodedRecord) -> Tensor:
    """−log p of each answer token of one record, in nats, with gradient."""
    tokens = torch.tensor([record.prompt_ids + record.answer_ids])
    logits = model(input_ids=tokens, use_cache=False).logits[0]  # type: ignore[attr-defined]
    log_p = F.log_softmax(logits.float(), dim=-1)
    nll: list[Tensor] = []
    for i, token_id in enumerate(record.answer_ids):
        position = len(record.prompt_ids) + i - 1  # what stands before the token predicts it
        nll.append(-log_p[position, token_id])
    return torch.stack(nll)


@torch.no_grad()
def greedy(model: Callable[..., object], prompt_ids: Sequence[int], max_new: int, stop_id: int | None) -> list[int]:
    """Greedy decoding, the whole sequence anew for every token."""
    ids = list(prompt_ids)
    for _ in range(max_new):
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits  # type: ignore[attr-defined]
        ids.append(int(logits[0, -1].argmax()))
        if ids[-1] == stop_id:
            break
    return ids[len(prompt_ids) :]
