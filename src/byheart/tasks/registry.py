"""The tasks by name: an explicit table, name → settings and the function that makes the memory.

To add a task, write its settings and its function in a file of its own, add a row to `TASKS` and its settings to
`TaskConfig`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from byheart.errors import SettingsError, unknown
from byheart.memory.records import Memory
from byheart.memory.tokenizer import Tokenizer
from byheart.settings import Settings
from byheart.tasks import linear_rule, long_context, phonebook, records, scenarios
from byheart.tasks.linear_rule import LinearRuleConfig
from byheart.tasks.long_context import LongContextConfig
from byheart.tasks.phonebook import PhonebookConfig
from byheart.tasks.records import RecordsConfig
from byheart.tasks.scenarios import ScenariosConfig

__all__ = ["TASKS", "Task", "TaskConfig", "build", "build_unseen", "parse", "unseen_flaw"]

TaskConfig: TypeAlias = Annotated[
    PhonebookConfig | LongContextConfig | LinearRuleConfig | ScenariosConfig | RecordsConfig,
    Field(discriminator="name"),
]
"""Settings of any task, told apart by ``name``; may be a field of other settings. `parse` reads plain values."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task as the table has it.

    Attributes:
        config: its settings.
        build: settings and a tokenizer → the memory to be learnt.
        build_unseen: the same → records of the kind that are not learnt, to see what else was; None: it has none.
    """

    config: type[Settings]
    build: Callable[[Any, Tokenizer], Memory]
    build_unseen: Callable[[Any, Tokenizer], Memory] | None = None


TASKS: dict[str, Task] = {
    "phonebook": Task(PhonebookConfig, phonebook.build),
    "long-context": Task(LongContextConfig, long_context.build),
    "linear-rule": Task(LinearRuleConfig, linear_rule.build, linear_rule.build_unseen),
    "scenarios": Task(ScenariosConfig, scenarios.build),
    "records": Task(RecordsConfig, records.build),
}


def parse(values: Mapping[str, Any], source: str = "task") -> TaskConfig:
    """Settings of the task that ``values["name"]`` names.

    Args:
        values: plain values, as YAML holds them.
        source: what to name in errors.

    Raises:
        SettingsError: no task or an unknown one; unknown keys, with the nearest; values out of their range.

    >>> parse({"name": "phonebook", "num_pairs": 8}).num_pairs
    8
    """
    name = values.get("name")
    if name is None:
        raise SettingsError(f"{source}: no task is named; give name: one of {', '.join(TASKS)}")
    if name not in TASKS:
        raise SettingsError(f"{source}: {unknown('task', str(name), TASKS)}")
    config: Any = TASKS[name].config.parse(values, source)
    return config


def build(config: TaskConfig, tokenizer: Tokenizer) -> Memory:
    """The memory that ``config`` asks for; equal settings and an equal tokenizer give an equal memory.

    Args:
        config: of any task.
        tokenizer: by which answer tokens are counted and drawn; left as it was.

    Raises:
        SettingsError: what is asked for cannot be made for this tokenizer, or from this source.
        RecordsError: the source cannot be read.

    Example:
        >>> config = parse({"name": "long-context", "num_answer_tokens": 200, "random_ratio": 1.0})
        >>> build(config, base.tokenizer)                                                         # doctest: +SKIP
    """
    return TASKS[config.name].build(config, tokenizer)


def build_unseen(config: TaskConfig, tokenizer: Tokenizer) -> Memory:
    """Records of the task's kind that `build` does not give: what comes back of them is generalisation.

    Raises:
        SettingsError: the task has none.
    """
    task = TASKS[config.name]
    if task.build_unseen is None:
        raise SettingsError(unseen_flaw(config.name))
    return task.build_unseen(config, tokenizer)


def unseen_flaw(name: str) -> str | None:
    """Why there are no unseen records of a task, or None where there are."""
    if TASKS[name].build_unseen is not None:
        return None
    having = ", ".join(repr(other) for other, task in TASKS.items() if task.build_unseen is not None)
    return f"task {name!r} has no unseen records; of the tasks, {having} has"
