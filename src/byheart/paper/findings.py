"""What a reproduction has measured so far: the results of its cells by experiment, and what lies behind each of them.

OUT/sweep/cells/<name>/    the cell's result, tokens and epochs; OUT/sweep/results.parquet the table, as a sweep leaves
                           them
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from byheart.certification.dynamics import RecordDynamics
from byheart.errors import ArtifactError
from byheart.paper.preset import ExperimentName, Preset
from byheart.paper.published import FORMS, Form
from byheart.report.reproduction_files import SWEEP
from byheart.sweep.cell import CellResult, Measured
from byheart.sweep.course import Course, course_of
from byheart.sweep.results import CELLS, read_tokens
from byheart.sweep.texts import Texts, texts_of
from byheart.sweep.token_dynamics import read_dynamics, read_unseen
from byheart.tasks.registry import unseen_flaw


@dataclass(frozen=True, slots=True)
class Finding:
    """A cell that is done.

    Attributes:
        result: as the sweep has it.
        measured: its numbers.
    """

    result: CellResult
    measured: Measured

    @property
    def name(self) -> str:
        """The cell's."""
        return self.result.name

    @property
    def method(self) -> str:
        """As the registry of methods has it."""
        return self.result.run["method"]["name"]

    @property
    def form(self) -> Form:
        """As the paper's tables call the method."""
        return FORMS[self.method]

    @property
    def lora_rank(self) -> int:
        """At the end of the run."""
        return self.measured.lora_rank

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.result.task["name"]

    @property
    def size(self) -> int:
        """Answer tokens that were asked for; where the task has another measure, those that there are."""
        return self.result.task.get("num_answer_tokens") or self.measured.num_answer_tokens

    @property
    def placement(self) -> str:
        """Adapted layers and modules."""
        return self.result.placement

    @property
    def texts(self) -> Texts:
        """Of long texts, which."""
        return texts_of(self.result.task)

    @property
    def seed(self) -> int:
        """Of the run."""
        return self.result.run["seed"]

    @property
    def place(self) -> tuple[int, int, Texts]:
        """Where it stands among the cells of a method and a seed: rank, size, and of long texts which."""
        return self.lora_rank, self.size, self.texts


@dataclass(frozen=True, eq=False)
class Findings:
    """The cells of a preset that have a result. Equal to itself alone, so that what is made of it can be kept.

    Attributes:
        preset: what was run.
        directory: OUT.
        results: of each experiment, in the preset's order.
    """

    preset: Preset
    directory: Path
    results: Mapping[ExperimentName, Sequence[CellResult]]
    _records: dict[str, list[RecordDynamics]] = field(default_factory=dict, init=False, repr=False)
    _unseen: dict[str, list[RecordDynamics]] = field(default_factory=dict, init=False, repr=False)

    def done(self, experiment: ExperimentName) -> list[Finding]:
        """The cells of an experiment that did not fail."""
        return [
            Finding(result, result.measured)
            for result in self.results.get(experiment, ())
            if result.measured is not None
        ]

    def all_done(self) -> list[Finding]:
        """Every cell of every experiment that did not fail, each once."""
        by_name = {each.name: each for experiment in self.results for each in self.done(experiment)}
        return list(by_name.values())

    def num_failed(self, *experiments: ExperimentName) -> int:
        """Cells with an error, each counted once, of some experiments or of all."""
        results = (self.results.get(experiment, ()) for experiment in experiments or self.results)
        return len({each.name for some in results for each in some if each.measured is None})

    def dynamics(self, finding: Finding) -> list[RecordDynamics]:
        """The records of a cell, token by token; read once."""
        if finding.name not in self._records:
            self._records[finding.name] = read_dynamics(self.directory / SWEEP, finding.name)
        return self._records[finding.name]

    def every_dynamics(self) -> dict[str, list[RecordDynamics]]:
        """Every record that was measured, by task; those that were not learnt apart."""
        groups: dict[str, list[RecordDynamics]] = {}
        for cell in self.all_done():
            groups.setdefault(cell.task, []).extend(self.dynamics(cell))
            if unseen_flaw(cell.task) is None:
                groups.setdefault(f"{cell.task}, unseen", []).extend(self.unseen(cell))
        return groups

    def unseen(self, finding: Finding) -> list[RecordDynamics]:
        """The records that a cell was asked for and had not learnt; read once."""
        if finding.name not in self._unseen:
            self._unseen[finding.name] = read_unseen(self.directory / SWEEP, finding.name)
        return self._unseen[finding.name]

    def course(self, finding: Finding) -> Course:
        """Every epoch of a cell.

        Raises:
            ArtifactError: an earlier byheart ran it, which kept none.
        """
        directory = self.directory / SWEEP
        folder = directory / CELLS / finding.name
        if (course := course_of(read_tokens(directory, finding.name), folder)) is None:
            raise ArtifactError(f"{folder} has no epochs; remove it, and the cell is run again")
        return course
