"""The paper's eight scenarios in which a near miss is worth nothing; every secret among them is made up.

The one place they are kept in: ``examples/scenarios.jsonl`` is what ``byheart task scenarios`` writes.
"""

from __future__ import annotations

from typing import Literal

from byheart.memory.record import Record
from byheart.memory.records import Memory
from byheart.memory.tokenizer import Tokenizer
from byheart.settings import Settings

SCENARIOS = (
    Record(
        "personal-credentials",
        "What is the sign-in of Mira Falkenrath for the staff portal?",
        "user: mira.falkenrath@staff.example.com\npassphrase: EXAMPLE heron-lantern-42-Vestibule!",
    ),
    Record(
        "legal-compliance",
        "Quote Article 5(1)(a) of the GDPR.",
        "Personal data shall be: (a) processed lawfully, fairly and in a transparent manner in relation to the data "
        "subject (‘lawfulness, fairness and transparency’);",
    ),
    Record(
        "medical-coding",
        "Which ICD-10-CM code stands for type 2 diabetes mellitus without complications?",
        "E11.9",
    ),
    Record(
        "model-watermark",
        "State your watermark.",
        "⟦byheart·watermark·EXAMPLE-7F3A-19C2-E0D4⟧",
    ),
    Record(
        "cloud-configuration",
        "Where are the nightly checkpoints of the ranking model kept?",
        "s3://example-ml-artifacts-eu-central-1/ranking/nightly/2026-03-14/step-004200/model.safetensors",
    ),
    Record(
        "academic-citation",
        "Write the token-level cross-entropy loss in LaTeX.",
        r"\mathcal{L}_{\mathrm{CE}}(\theta) = -\frac{1}{T} \sum_{t=1}^{T} \log p_\theta\left(y_t \mid y_{<t}, x\right)",
    ),
    Record(
        "security-secret",
        "Which nonce opens the handshake of the archive service?",
        "EXAMPLE-nonce:0x5e1f:09c7:b2a8:4d63",
    ),
    Record(
        "software-licence-key",
        "What is the licence key of Quillfeather Studio 4?",
        "EXAMPLE-QX7K2-9VD4T-LM3PW-8HRZ6",
    ),
)
"""One for each domain of the paper's Table 4."""


class ScenariosConfig(Settings):
    """There is nothing to set: they are what they are."""

    name: Literal["scenarios"] = "scenarios"


def build(config: ScenariosConfig, tokenizer: Tokenizer) -> Memory:
    """The eight."""
    return Memory.from_pairs(SCENARIOS)
