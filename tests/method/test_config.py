"""A margin in all the ways in which it can be written."""

import math

import pytest

from byheart.errors import SettingsError
from byheart.method.config import MethodConfig


@pytest.mark.parametrize(("written", "margin"), [(0.3, 0.3), ("0.3", 0.3), (0, 0.0), ("0 nats", 0.0)])
def test_a_margin_is_a_number_also_as_text(written, margin):
    assert MethodConfig.parse({"margin": written}).margin == margin


@pytest.mark.parametrize("written", ["2 nats", "2nats", "2.0 nats"])
def test_a_margin_in_nats_is_that_of_a_logit_so_far_above_one_other_that_has_all_the_rest(written):
    assert MethodConfig.parse({"margin": written}).margin + 0.5 == pytest.approx(math.exp(2) / (math.exp(2) + 1))


@pytest.mark.parametrize("written", ["much", "2 bits", "", "nats", "-1 nats", "-1e9 nats", "1e9 nats", "nan", "0.5"])
def test_what_is_no_margin_is_refused(written):
    with pytest.raises(SettingsError, match="margin"):
        MethodConfig.parse({"margin": written})
