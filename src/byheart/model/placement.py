"""Where the adapter sits: which layers, which linear modules, which rank; asked for loosely, resolved to exact module
paths.

A layer spec is a comma-separated union of an index (``24``, or ``-1`` for the last), a range (``20-23``, both ends in),
a fraction of the depth (``0.67``, or ``0.5-1.0`` as a range), ``top:N`` (the last N) and ``all``. A module spec is a
comma-separated union of names
(``down_proj``), ``mlp``, ``attention`` and ``all-linear``; or ``mlp-bypass`` alone, the paper's bypass around the whole
MLP block.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from byheart.errors import PlacementError, unknown
from byheart.model.base import decoder_layers
from byheart.model.config import PlacementConfig

BYPASS = "mlp-bypass"
GROUPS = {"mlp": ("mlp", "feed_forward", "ffn"), "attention": ("attn", "attention")}


@dataclass(frozen=True, slots=True)
class Site:
    """One linear module (or, for the bypass, one MLP block) that the adapter adds to: ``num_in`` and ``num_out``
    features.
    """

    path: str
    num_in: int
    num_out: int


@dataclass(frozen=True, slots=True)
class Placement:
    """A placement resolved against one model.

    Attributes:
        layers: indices of the adapted layers, rising.
        sites: the adapted modules in the model's order.
        lora_rank: R, the same for all sites.
        lora_alpha: the adapter's output is scaled by lora_alpha / lora_rank.
        lora_dropout: on the adapter's input while learning.
        is_bypass: the sites are MLP blocks with a bypass around them, which other engines cannot load.
    """

    layers: tuple[int, ...]
    sites: tuple[Site, ...]
    lora_rank: int
    lora_alpha: float
    lora_dropout: float = 0.0
    is_bypass: bool = False

    @property
    def num_parameters(self) -> int:
        """Of the adapter: Σ over sites of R · (in + out)."""
        return self.lora_rank * sum(site.num_in + site.num_out for site in self.sites)

    @property
    def scale(self) -> float:
        """lora_alpha / lora_rank."""
        return self.lora_alpha / self.lora_rank

    @property
    def module_names(self) -> tuple[str, ...]:
        """Last parts of the sites' paths, distinct, sorted: PEFT's ``target_modules``."""
        return tuple(sorted({site.path.rsplit(".", 1)[-1] for site in self.sites}))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Placement:
        """The inverse of `to_dict`."""
        sites = tuple(Site(**site) for site in values["sites"])
        return cls(**{**values, "layers": tuple(values["layers"]), "sites": sites})


def resolve(config: PlacementConfig, model: nn.Module, lora_rank: int) -> Placement:
    """The exact modules that ``config`` means in ``model``.

    Raises:
        PlacementError: a layer outside the model, or a module name that matches nothing; listing what there is.
    """
    decoder, list_name = decoder_layers(model)
    blocks = getattr(decoder, list_name)
    layers = parse_layers(config.layers, len(blocks))
    prefix = next(name for name, module in model.named_modules() if module is blocks)
    bypass = config.modules.strip() == BYPASS
    sites: list[Site] = []
    for layer in layers:
        found = _bypass_sites(blocks[layer], model) if bypass else _linear_sites(blocks[layer], config.modules)
        sites.extend(Site(f"{prefix}.{layer}.{site.path}", site.num_in, site.num_out) for site in found)
    lora_alpha = config.lora_alpha if config.lora_alpha is not None else float(lora_rank)
    return Placement(layers, tuple(sites), lora_rank, lora_alpha, config.lora_dropout, bypass)


def parse_layers(spec: str, num_layers: int) -> tuple[int, ...]:
    """The layer indices a spec means, rising and distinct.

    >>> parse_layers("top:2, 0.5", 30)
    (15, 28, 29)

    Raises:
        PlacementError: not a spec, or a layer the model does not have.
    """
    chosen: set[int] = set()
    for part in (part.strip() for part in spec.split(",")):
        if part == "all":
            chosen.update(range(num_layers))
        elif match := re.fullmatch(r"top:(\d+)", part):
            count = int(match[1])
            if not 1 <= count <= num_layers:
                raise PlacementError(
                    f"layers {part!r}: the model has {num_layers} layers; give top:1 to top:{num_layers}"
                )
            chosen.update(range(num_layers - count, num_layers))
        elif match := re.fullmatch(r"(-?\d*\.?\d+)(?:-(\d*\.?\d+))?", part):
            first = _layer(match[1], num_layers, part)
            last = _layer(match[2], num_layers, part) if match[2] else first
            if first > last:
                raise PlacementError(f"layers {part!r}: the range runs backwards")
            chosen.update(range(first, last + 1))
        else:
            raise PlacementError(
                f"layers {part!r} is not a layer spec; give an index (24), a range (20-23), a fraction (0.67), "
                "top:N, all, or several separated by commas"
            )
    return tuple(sorted(chosen))


def _layer(text: str, num_layers: int, part: str) -> int:
    if "." in text:
        share = float(text)
        if not 0 <= share <= 1:
            raise PlacementError(f"layers {part!r}: a fraction of the depth lies between 0.0 and 1.0")
        return min(int(share * num_layers), num_layers - 1)
    index = int(text)
    if not -num_layers <= index < num_layers:
        raise PlacementError(f"layers {part!r}: the model has layers 0 to {num_layers - 1}")
    return index % num_layers


def _linear_sites(block: nn.Module, spec: str) -> list[Site]:
    linears = {path: module for path, module in block.named_modules() if isinstance(module, nn.Linear)}
    if not linears and any(type(module).__name__ == "Conv1D" for module in block.modules()):
        raise PlacementError(
            f"the layers of {type(block).__name__} are Conv1D, which is not supported; only torch.nn.Linear is"
        )
    if not linears:
        raise PlacementError(f"{type(block).__name__} has no torch.nn.Linear to adapt")
    chosen: set[str] = set()
    for name in (name.strip() for name in spec.split(",")):
        matching = {path for path in linears if _matches(path, name)}
        if name == BYPASS:
            raise PlacementError(f"modules {spec!r}: {BYPASS} stands alone; give it without other modules")
        if not matching:
            groups = [group for group in GROUPS if any(_matches(path, group) for path in linears)]
            names = ["all-linear", *groups, *sorted({path.rsplit(".", 1)[-1] for path in linears})]
            raise PlacementError(f"{unknown('module', name, names)}; or {BYPASS} alone")
        chosen |= matching
    return [Site(path, linear.in_features, linear.out_features) for path, linear in linears.items() if path in chosen]


def _matches(path: str, name: str) -> bool:
    if name == "all-linear":
        return True
    if name in GROUPS:
        parents = path.split(".")[:-1]
        return any(stem in parent for parent in parents for stem in GROUPS[name])
    return path == name or path.endswith(f".{name}")


def _bypass_sites(block: nn.Module, model: nn.Module) -> list[Site]:
    hidden: int = model.config.hidden_size  # type: ignore[union-attr, assignment]
    for name, _ in block.named_children():
        if name in GROUPS["mlp"]:
            return [Site(name, hidden, hidden)]
    raise PlacementError(
        f"modules {BYPASS!r}: {type(block).__name__} has no MLP block among "
        f"{', '.join(name for name, _ in block.named_children())}"
    )
