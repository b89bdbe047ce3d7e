"""What of a layer an adapter can add to: linear modules, `nn.Linear` or GPT-2's Conv1D; and what it cannot, and why.

Three kinds of weights are left out, and told wherever they were asked for: those of no linear module, such as the
experts of a mixture in one parameter; routers, whose change would send tokens to other experts; and linear modules that
PEFT takes for a part of such experts, so that it would load their adapter in the wrong place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import nn

from byheart.errors import PlacementError, unknown

BYPASS = "mlp-bypass"
GROUPS = {"mlp": ("mlp", "feed_forward", "ffn"), "attention": ("attn", "attention")}

_ROUTER = re.compile(r"(^|\.)(gate|router|shared_expert_gate)(\.|$)")


class PartialPlacementWarning(UserWarning):
    """Weights that the modules asked for cover cannot be adapted, and stay as they are."""


@dataclass(frozen=True, slots=True)
class Site:
    """One linear module (or, for the bypass, one MLP block) that the adapter adds to.

    Attributes:
        path: of the module.
        num_in: features of its input.
        num_out: features of its output.
    """

    path: str
    num_in: int
    num_out: int


def linear_sites(block: nn.Module, spec: str, misread: frozenset[str]) -> tuple[list[Site], dict[str, str]]:
    """The linear modules of a layer that a module spec means.

    Args:
        block: the layer.
        spec: comma-separated union of names, ``mlp``, ``attention`` and ``all-linear``.
        misread: names that PEFT misreads in this model, see `misread_by_peft`.

    Returns:
        The sites, in the layer's order and with paths inside it; and the weights that the spec means too but that
        cannot be adapted, path → why.

    Raises:
        PlacementError: a part of the spec matches nothing; listing what there is.
    """
    linears, others = _sorted_weights(block, misread)
    if not linears:
        reasons = f": {told(others)}" if others else ""
        raise PlacementError(f"{type(block).__name__} has no torch.nn.Linear and no Conv1D to adapt{reasons}")
    chosen: set[str] = set()
    left_out: dict[str, str] = {}
    for name in (name.strip() for name in spec.split(",")):
        if name == BYPASS:
            raise PlacementError(f"modules {spec!r}: {BYPASS} stands alone; give it without other modules")
        matching = {path for path in linears if _matches(path, name)}
        beside = {path: why for path, why in others.items() if _matches(path, name)}
        if not matching:
            groups = [group for group in GROUPS if any(_matches(path, group) for path in linears)]
            names = ["all-linear", *groups, *sorted({path.rsplit(".", 1)[-1] for path in linears})]
            flaw = f"no module of {name!r} can be adapted: {told(beside)}; allowed: {', '.join(names)}"
            raise PlacementError(f"{flaw if beside else unknown('module', name, names)}; or {BYPASS} alone")
        chosen |= matching
        left_out |= beside
    return [site for path, site in linears.items() if path in chosen], left_out


def bypass_site(block: nn.Module, hidden: int) -> Site:
    """The MLP block of a layer, ``hidden`` wide.

    Raises:
        PlacementError: it has none.
    """
    if (name := mlp_name(block)) is not None:
        return Site(name, hidden, hidden)
    raise PlacementError(
        f"modules {BYPASS!r}: {type(block).__name__} has no MLP block among "
        f"{', '.join(name for name, _ in block.named_children())}"
    )


def mlp_name(block: nn.Module) -> str | None:
    """What a layer calls its MLP block; None: it has none."""
    return next((name for name, _ in block.named_children() if name in GROUPS["mlp"]), None)


def is_conv1d(module: nn.Module) -> bool:
    """Whether it is GPT-2's kind of linear module, with a weight of in × out."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D)


def misread_by_peft(model: nn.Module) -> frozenset[str]:
    """Names of linear modules that PEFT, on loading, takes for a part of the model's fused experts: it expects adapters
    of the time when each expert was a module of its own, and asks no more than the name.
    """
    if not any(_is_of_experts(path) for path, _ in model.named_modules()):
        return frozenset()
    from peft import LoraConfig
    from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

    def is_misread(name: str) -> bool:
        config = LoraConfig(target_modules=[name])
        try:
            convert_peft_config_for_transformers(config, model, None)
        except ValueError:  # a part of a part: gate_proj without up_proj
            return True
        return name not in (config.target_modules or ())

    names = {path.rsplit(".", 1)[-1] for path, module in model.named_modules() if isinstance(module, nn.Linear)}
    return frozenset(name for name in names if is_misread(name))


def told(left_out: dict[str, str]) -> str:
    """Weights by the reason why they cannot be adapted.

    >>> told({"mlp.gate": "router", "mlp.experts.w1": "no linear module", "mlp.experts.w2": "no linear module"})
    'mlp.gate (router); mlp.experts.w1, mlp.experts.w2 (no linear module)'
    """
    paths: dict[str, list[str]] = {}
    for path, why in left_out.items():
        paths.setdefault(why, []).append(path)
    return "; ".join(f"{', '.join(each)} ({why})" for why, each in paths.items())


def _sorted_weights(block: nn.Module, misread: frozenset[str]) -> tuple[dict[str, Site], dict[str, str]]:
    """The linear modules by path, and the weights that cannot be adapted with the reason."""
    has_experts = any(_is_of_experts(path) for path, _ in block.named_modules())
    linears: dict[str, Site] = {}
    others: dict[str, str] = {}
    for path, module in block.named_modules():
        site = _site(path, module)
        if has_experts and _ROUTER.search(path) and (site or _own_weights(module)):
            others[path] = "router"
        elif site and path.rsplit(".", 1)[-1] in misread:
            others[path] = "misread by PEFT as a part of the fused experts"
        elif site:
            linears[path] = site
        else:
            others |= dict.fromkeys((f"{path}.{name}".lstrip(".") for name in _own_weights(module)), "no linear module")
    return linears, others


def _site(path: str, module: nn.Module) -> Site | None:
    if isinstance(module, nn.Linear):
        return Site(path, module.in_features, module.out_features)
    if is_conv1d(module):
        num_in, num_out = module.get_parameter("weight").shape
        return Site(path, num_in, num_out)
    return None


def _own_weights(module: nn.Module) -> list[str]:
    """Names of the matrices, or stacks of them, that a module of no kind of torch's own holds itself."""
    if type(module).__module__.startswith("torch.nn"):
        return []
    parameters = module.named_parameters(recurse=False)
    return [name for name, parameter in parameters if sum(size > 1 for size in parameter.shape) > 1]


def _is_of_experts(path: str) -> bool:
    return "experts" in path.split(".")


def _matches(path: str, name: str) -> bool:
    if name == "all-linear":
        return True
    if name in GROUPS:
        parents = path.split(".")[:-1]
        return any(stem in parent for parent in parents for stem in GROUPS[name])
    return path == name or path.endswith(f".{name}")
