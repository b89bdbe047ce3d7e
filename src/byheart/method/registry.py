"""The methods by name: an explicit table, name → (weighting, schedule).

To add a method, write its weighting or schedule in a file of its own and add a row to `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from byheart.errors import SettingsError
from byheart.method.active import ActiveSet
from byheart.method.config import DEFAULT_REST_EPOCHS, MethodConfig, MethodName
from byheart.method.curriculum import PAPER_BOUNDARIES, GrowingPrefix
from byheart.method.schedule import AllRecords, RecordSchedule
from byheart.method.threshold import Threshold
from byheart.method.weighting import TokenWeighting, Uniform, critical_nll_nats
from byheart.method.window import SlidingWindow


@dataclass(frozen=True, slots=True)
class Method:
    """A method ready to run."""

    weighting: TokenWeighting
    schedule: RecordSchedule


def _uniform(config: MethodConfig) -> TokenWeighting:
    return Uniform()


def _threshold(config: MethodConfig) -> TokenWeighting:
    return Threshold(critical_nll_nats(config.margin), config.epsilon, config.compat.sft_when_none_active)


def _threshold_or_nothing(config: MethodConfig) -> TokenWeighting:
    """The curriculum's scripts have no loss where no token is below the threshold, whatever memft-ot's have."""
    return Threshold(critical_nll_nats(config.margin), config.epsilon)


def _window(config: MethodConfig) -> TokenWeighting:
    return SlidingWindow(
        critical_nll_nats=critical_nll_nats(config.margin),
        epsilon=config.epsilon,
        state_by_slot=config.compat.window_state_by_slot,
        skip_last_tokens=config.compat.window_skip_last_tokens,
        **config.window.model_dump(),
    )


def _active_set(config: MethodConfig, epochs: int, batch_size: int) -> RecordSchedule:
    rest_epochs = DEFAULT_REST_EPOCHS if config.rest_epochs is None else config.rest_epochs
    return ActiveSet(config.wanted_probability, rest_epochs) if rest_epochs else AllRecords()


def _growing_prefix(config: MethodConfig, epochs: int, batch_size: int) -> RecordSchedule:
    scaled = tuple(round(share * epochs) for share in PAPER_BOUNDARIES)
    boundaries = config.curriculum.boundaries
    if boundaries is not None and max(boundaries[:-1], default=0) >= epochs:
        raise SettingsError(
            f"the curriculum shows all records from epoch {boundaries[-2] + 1} on, and the budget is {epochs} epochs; "
            "give learn.epochs more, or boundaries that end earlier"
        )
    return GrowingPrefix(boundaries or scaled, batch_size, config.curriculum.ratios)


METHODS: dict[
    MethodName, tuple[Callable[[MethodConfig], TokenWeighting], Callable[[MethodConfig, int, int], RecordSchedule]]
] = {
    "sft": (_uniform, _active_set),
    "memft-ot": (_threshold, _active_set),
    "memft-sw": (_window, _active_set),
    "memft-sw-curriculum": (_threshold_or_nothing, _growing_prefix),
}


def build(config: MethodConfig, epochs: int, batch_size: int) -> Method:
    """The method that ``config`` names, for a run of ``epochs`` epochs with ``batch_size`` records a step.

    Raises:
        SettingsError: a curriculum whose own boundaries keep some records from ever being shown.
    """
    weighting, schedule = METHODS[config.name]
    return Method(weighting(config), schedule(config, epochs, batch_size))
