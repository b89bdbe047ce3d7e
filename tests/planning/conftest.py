"""A calibration of the tiny model, where plans look for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from byheart.config import RunConfig
from byheart.model.base import Base
from byheart.model.placement import Placement, resolve
from byheart.planning.calibration import Calibration, user_directory
from plans_for_tests import calibration_of, forecast_of, saturated_or_lost, simulated


@pytest.fixture(autouse=True)
def data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for this user's calibrations."""
    monkeypatch.setenv("BYHEART_DATA", str(tmp_path / "data"))
    return user_directory()


@pytest.fixture
def config(tiny_base: Base) -> RunConfig:
    """Settings of a run of the tiny model."""
    return RunConfig.build(None, model=tiny_base.identity.name, layers="all")


@pytest.fixture
def outline(tiny_base: Base, config: RunConfig) -> Placement:
    """Where that run's adapter sits."""
    return resolve(config.placement, tiny_base.model, 1)


@pytest.fixture
def by_bits(tiny_base: Base, config: RunConfig, outline: Placement) -> Calibration:
    """A calibration without a law."""
    return calibration_of(saturated_or_lost(), tiny_base.identity, outline, config)


@pytest.fixture
def by_law(tiny_base: Base, config: RunConfig, outline: Placement) -> Calibration:
    """One with a law."""
    return calibration_of(simulated(), tiny_base.identity, outline, config, forecast_of(simulated()))


@pytest.fixture
def stored(by_bits: Calibration, data_directory: Path) -> Callable[[], Path]:
    """Puts it where it is looked for."""

    def store() -> Path:
        path = data_directory / by_bits.subject.file_name
        by_bits.save(path)
        return path

    return store
