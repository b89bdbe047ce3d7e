"""Where the adapter sits: which layers, which linear modules, which rank; asked for loosely, resolved to exact module
paths.

A layer spec is a comma-separated union of an index (``24``, or ``-1`` for the last), a range (``20-23``, both ends in),
a fraction of the depth (``0.67``, or ``0.5-1.0`` as a range), ``top:N`` (the last N) and ``all``. A module spec is a
comma-separated union of names
(``down_proj``), ``mlp``, ``attention`` and ``all-linear``; or ``mlp-bypass`` alone, the paper's bypass around the whole
MLP block. What of a layer these can mean is the subject of `sites`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import nn

from byheart.errors import PlacementError
from byheart.model.base import decoder_layers
from byheart.model.config import PlacementConfig
from byheart.model.sites import (
    BYPASS,
    PartialPlacementWarning,
    Site,
    bypass_site,
    is_conv1d,
    linear_sites,
    misread_by_peft,
    told,
)


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
        names_suffice: the last parts of the sites' paths, with the layers, mean the sites and no other module.
        fan_in_fan_out: all sites hold their weights in × out. This and the one before are no part of what a placement
            is, only of how PEFT is told of it; the adapter's config keeps them.
    """

    layers: tuple[int, ...]
    sites: tuple[Site, ...]
    lora_rank: int
    lora_alpha: float
    lora_dropout: float = 0.0
    is_bypass: bool = False
    names_suffice: bool = field(default=False, compare=False)
    fan_in_fan_out: bool = field(default=False, compare=False)

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
        """Last parts of the sites' paths, distinct, sorted."""
        return _names(self.sites)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self)
        return {name: value for name, value in values.items() if name not in ("names_suffice", "fan_in_fan_out")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Placement:
        """The inverse of `to_dict`."""
        sites = tuple(Site(**site) for site in values["sites"])
        return cls(**{**values, "layers": tuple(values["layers"]), "sites": sites})


def resolve(config: PlacementConfig, model: nn.Module, lora_rank: int) -> Placement:
    """The exact modules that ``config`` means in ``model``; warns of weights that it means but that cannot be adapted.

    Raises:
        PlacementError: a layer outside the model, or a module name that matches nothing; listing what there is.
    """
    decoder, list_name = decoder_layers(model)
    blocks = getattr(decoder, list_name)
    layers = parse_layers(config.layers, len(blocks))
    prefix = next(name for name, module in model.named_modules() if module is blocks)
    bypass = config.modules.strip() == BYPASS
    misread = frozenset[str]() if bypass else misread_by_peft(model)
    sites: list[Site] = []
    left_out: dict[str, str] = {}
    for layer in layers:
        if bypass:
            found = [bypass_site(blocks[layer], model.config.hidden_size)]  # type: ignore[union-attr, arg-type]
        else:
            found, beside = linear_sites(blocks[layer], config.modules, misread)
            left_out |= beside
        sites += (replace(site, path=f"{prefix}.{layer}.{site.path}") for site in found)
    if left_out:
        message = f"modules {config.modules!r} of {type(model).__name__}: not adapted: {told(left_out)}"
        warnings.warn(message, PartialPlacementWarning, stacklevel=1)  # one place, so that a run tells it once
    lora_alpha = config.lora_alpha if config.lora_alpha is not None else float(lora_rank)
    return Placement(
        layers,
        tuple(sites),
        lora_rank,
        lora_alpha,
        config.lora_dropout,
        is_bypass=bypass,
        names_suffice=names_suffice(sites, layers, [path for path, _ in model.named_modules()]),
        fan_in_fan_out=all(is_conv1d(model.get_submodule(site.path)) for site in sites),
    )


def names_suffice(sites: Sequence[Site], layers: Sequence[int], paths: Sequence[str]) -> bool:
    """Whether the last parts of the sites' paths, with ``layers``, mean the sites alone among the model's ``paths``.

    Who reads an adapter's config takes the layer from a number in the path: PEFT 0.21 from the first, 0.19 from
    the last, and only from the third part on. So all numbers of a path must say the same.
    """
    names, wanted = set(_names(sites)), {site.path for site in sites}
    for path in paths:
        *parents, name = path.split(".")
        if name in names and {int(part) in layers for part in parents[2:] if part.isdigit()} != {path in wanted}:
            return False
    return True


def _names(sites: Sequence[Site]) -> tuple[str, ...]:
    return tuple(sorted({site.path.rsplit(".", 1)[-1] for site in sites}))


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
