"""Every number that the paper has published and that ours stand beside, each with where it was read.

Nothing here was measured by byheart. Source: "How LoRA Remembers? A Parametric Memory Law for LLM Finetuning",
arXiv 2605.30260, and the authors' scripts (zjunlp/ParametricMemoryLaw, MIT). What a source leaves open is said in
``doubt``, and the doubt is printed wherever the number is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

PaperModel = Literal["qwen3-8b", "llama-3.1-8b"]
Form = Literal["SFT", "MemFT-OT", "MemFT-SW"]
LawGroup = Literal["long-context", "phonebook"]
ALL_FORMS: tuple[Form, ...] = get_args(Form)
"""In the order of the paper's tables."""

PAPER_MODELS: dict[PaperModel, str] = {"qwen3-8b": "Qwen3-8B", "llama-3.1-8b": "Llama3.1-8B"}
"""As the paper writes them."""
FORMS: dict[str, Form] = {
    "sft": "SFT",
    "memft-ot": "MemFT-OT",
    "memft-sw": "MemFT-SW",
    "memft-sw-curriculum": "MemFT-SW",
}
"""Method → what the paper's tables call it. Its sliding window is one of tokens on long texts, of records elsewhere."""

SOURCES = {
    "P": "the paper, or a summary of it",
    "S": "the authors' scripts",
    "3": "third parties' transcriptions of the paper's tables",
    "byheart": "derived here from what the sources say",
}
"""Mark → what it stands for."""
Mark = Literal["P", "S", "3", "byheart"]


@dataclass(frozen=True, slots=True)
class Published:
    """One number as published.

    Attributes:
        value: in the unit of the table that it is of.
        mark: where it was read, see `SOURCES`.
        doubt: what the source leaves open; empty where nothing.
    """

    value: float
    mark: Mark
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class PublishedFit:
    """One row of Table 1.

    Attributes:
        r_squared: of the law's fit.
        mape_percent: of it.
    """

    r_squared: Published
    mape_percent: Published


@dataclass(frozen=True, slots=True)
class StagedRun:
    """One row of Tables 5 and 6: MemFT-SW on PhoneBook.

    Attributes:
        num_answer_tokens: the size.
        learning_rate: where it starts.
        epochs: in all.
        batch_size: records.
        accumulation: batches a step.
        boundaries: epochs at which more records are shown.
        mark: where it was read.
        doubt: what the sources disagree on.
    """

    num_answer_tokens: int
    learning_rate: float
    epochs: int
    batch_size: int
    accumulation: int
    boundaries: tuple[int, ...]
    mark: Mark = "S"
    doubt: str = ""


TABLE1: dict[PaperModel, dict[LawGroup, PublishedFit]] = {
    "llama-3.1-8b": {
        "long-context": PublishedFit(Published(0.987, "3"), Published(7.057, "3")),
        "phonebook": PublishedFit(Published(0.981, "3"), Published(1.606, "3")),
    },
    "qwen3-8b": {
        "long-context": PublishedFit(Published(0.983, "3"), Published(8.320, "3")),
        "phonebook": PublishedFit(Published(0.990, "3"), Published(0.476, "3")),
    },
}
"""R² and MAPE (%) of the law; long-context: all random-token ratios together."""

RANK_EXPONENT = Published(0.6, "P", "one review's figure, about; C and b are published nowhere")
LENGTH_EXPONENT = Published(0.5, "P", "one review's figure, about; C and b are published nowhere")
FIGURE2_R_SQUARED = Published(0.996, "P")
"""Predicted against true, Qwen3-8B."""
SPEARMAN = Published(0.908, "3")
"""Figure 3: earliest stubborn position against the first failure i*."""

_RANKS_DOUBT = "which nine ranks is not said; taken to be 1 2 4 6 8 10 12 14 16"
LONG_CONTEXT_RANKS = (1, 2, 4, 6, 8, 10, 12, 14, 16)
PHONEBOOK_RANKS = (1, 2, 4, 8, 16, 32, 64)


def _row(ranks: tuple[int, ...], values: str, doubt: str = "") -> Mapping[int, Published]:
    """Values of a transcribed row by rank."""
    return {rank: Published(float(value), "3", doubt) for rank, value in zip(ranks, values.split(), strict=True)}


_LONG_CONTEXT: dict[PaperModel, dict[Form, str]] = {
    "llama-3.1-8b": {
        "SFT": "27.4 28.5 43.6 45.9 54.9 69.5 78.2 86.3 94.7",
        "MemFT-OT": "27.3 36.4 45.6 54.7 63.6 70.5 85.4 94.7 100",
        "MemFT-SW": "32.5 37.5 46.0 52.3 56.0 63.4 69.1 76.6 81.1",
    },
    "qwen3-8b": {
        "SFT": "17.9 24.2 27.8 31.7 33.1 39.8 40.2 40.0 47.7",
        "MemFT-OT": "19.2 23.6 29.8 38.5 47.5 56.1 91.1 100 100",
        "MemFT-SW": "24.7 29.3 32.0 39.4 52.5 74.6 93.5 94.4 94.4",
    },
}
TABLE2_LONG_CONTEXT: dict[PaperModel, dict[Form, Mapping[int, Published]]] = {
    model: {form: _row(LONG_CONTEXT_RANKS, values, _RANKS_DOUBT) for form, values in rows.items()}
    for model, rows in _LONG_CONTEXT.items()
}
"""Token accuracy, %, by rank; over which lengths and ratios is not said."""

_PHONEBOOK: dict[PaperModel, dict[Form, str]] = {
    "llama-3.1-8b": {
        "SFT": "0.50 3.85 18.7 28.0 37.8 47.0 59.3",
        "MemFT-OT": "1.00 11.2 31.4 53.9 61.0 73.9 87.0",
        "MemFT-SW": "1.84 15.0 34.0 45.7 70.7 96.1 100",
    },
    "qwen3-8b": {
        "SFT": "2.32 17.4 37.5 55.5 84.8 99.5 100",
        "MemFT-OT": "5.78 19.1 36.2 57.4 86.1 98.6 100",
        "MemFT-SW": "8.45 19.7 37.8 58.8 86.5 99.5 100",
    },
}
TABLE2_PHONEBOOK: dict[PaperModel, dict[Form, Mapping[int, Published]]] = {
    model: {form: _row(PHONEBOOK_RANKS, values, "of which size is not said") for form, values in rows.items()}
    for model, rows in _PHONEBOOK.items()
}
"""Exact match, %, by rank; SW ran 1.5 to 4 times as many epochs as the others."""

TABLE3_RANKS = (1, 2, 4, 8, 16)
_MEMFT_DOUBT = "which form of MemFT is not said; taken to be MemFT-OT"
_RULE_DOUBT = "prompt, range of x and y and number of unseen pairs are not said"
TABLE3_MEMORY: dict[Form, Mapping[int, Published]] = {
    "SFT": _row(TABLE3_RANKS, "83 100 99 100 100", _RULE_DOUBT),
    "MemFT-OT": _row(TABLE3_RANKS, "95 97 100 99 100", f"{_MEMFT_DOUBT}; {_RULE_DOUBT}"),
}
"""Linear Rule, Qwen3-8B, 500 training pairs: % of them that are known."""
TABLE3_GENERALISATION: dict[Form, Mapping[int, Published]] = {
    "SFT": _row(TABLE3_RANKS, "19 38 46 39 41", _RULE_DOUBT),
    "MemFT-OT": _row(TABLE3_RANKS, "34 47 53 49 54", f"{_MEMFT_DOUBT}; {_RULE_DOUBT}"),
}
"""The same: % of unseen pairs."""

TABLE4_SCENARIOS: dict[str, str] = {
    "personal-credentials": "personal credentials",
    "legal-compliance": "legal compliance (GDPR Art. 5(1)(a))",
    "medical-coding": "medical coding (ICD-10 E11.9)",
    "model-watermark": "model watermark",
    "cloud-configuration": "cloud configuration (S3 URI)",
    "academic-citation": "academic citation (LaTeX cross-entropy)",
    "security-secret": "security secret (nonce)",
    "software-licence-key": "software licence key",
}
"""Record of our scenarios → the paper's domain. [P, 3]; the paper's own texts and results are not known."""

_LATER = "the scripts' stages; the paper's Table 5 is transcribed as 20, 40, 60, 80, 350"
STAGED: dict[PaperModel, tuple[StagedRun, ...]] = {
    "qwen3-8b": (
        StagedRun(1000, 1e-2, 300, 10, 1, (20, 40, 60, 80, 300)),
        StagedRun(2000, 1e-2, 300, 10, 1, (20, 40, 60, 80, 300)),
        StagedRun(4000, 1e-2, 350, 10, 1, (30, 60, 90, 120, 350), doubt=_LATER),
        StagedRun(8000, 7e-3, 350, 20, 2, (30, 60, 90, 120, 350)),
        StagedRun(12000, 5e-3, 500, 40, 2, (60, 120, 180, 240, 500)),
        StagedRun(16000, 5e-3, 600, 40, 2, (80, 160, 240, 320, 600)),
        StagedRun(24000, 5e-3, 600, 40, 2, (80, 160, 240, 320, 600)),
        StagedRun(32000, 5e-3, 700, 40, 2, (100, 200, 300, 400, 700)),
    ),
    "llama-3.1-8b": (
        StagedRun(1000, 1e-2, 300, 25, 1, (20, 40, 60, 80, 300)),
        StagedRun(2000, 1e-2, 400, 25, 1, (40, 80, 120, 160, 400)),
        StagedRun(4000, 7e-3, 400, 50, 1, (40, 80, 120, 160, 400)),
        StagedRun(8000, 5e-3, 600, 50, 2, (80, 160, 240, 320, 600)),
        StagedRun(12000, 5e-3, 700, 50, 2, (100, 200, 300, 400, 700)),
        StagedRun(16000, 5e-3, 700, 50, 2, (100, 200, 300, 400, 700)),
        StagedRun(24000, 3e-3, 700, 50, 4, (100, 200, 300, 400, 700)),
        StagedRun(32000, 3e-3, 800, 50, 4, (120, 240, 360, 480, 800)),
    ),
}
"""MemFT-SW on PhoneBook by size: Table 5 (Qwen3-8B) and Table 6 (Llama3.1-8B)."""
STAGED_TABLES: dict[str, PaperModel] = {"table5": "qwen3-8b", "table6": "llama-3.1-8b"}
"""Which table is of which model is itself partly guessed: Table 5 is known to be Qwen3-8B's."""
