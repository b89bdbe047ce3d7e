"""What all benchmarks share: a process for each run, memory marks, the order of repeats, records, files and tables.

Importing this loads no torch: on Linux a child's memory mark begins at its parent's, so the process that starts the
others stays small.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from byheart.memory.record import Prompt

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PICTURES = HERE.parent / "docs" / "images"
EXAMPLES = HERE.parent / "examples"
FIRST_SEED = 42

Pair = tuple["Prompt", str]
_Side = TypeVar("_Side")


def in_own_process(module: str, job: dict[str, Any], num_threads: int) -> dict[str, Any]:
    """What ``python -m module JOB OUTCOME`` writes into OUTCOME, both files of JSON, and the `commit` that was there
    when it began; run to its end.
    """
    begun_at = commit()
    threads = {name: str(num_threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, **threads, "PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryDirectory() as directory:
        asked, outcome = Path(directory) / "job.json", Path(directory) / "outcome.json"
        asked.write_text(json.dumps(job), encoding="utf-8")
        command = [sys.executable, "-W", "ignore::FutureWarning", "-m", module, str(asked), str(outcome)]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        return {**json.loads(outcome.read_text(encoding="utf-8")), "commit": begun_at}


def commit() -> str | None:
    """The last one that changed these scripts or byheart beside them, with "-dirty" where that is not all there is to
    them; results are no part of it. None outside of git.
    """
    code = ["--", ".", ":!results", "../src"]
    try:
        last, changed = (
            subprocess.run(
                ["git", *command, *code], cwd=HERE, capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (["log", "-1", "--format=%h"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{last}-dirty" if changed else last or None


def alternating(sides: Sequence[_Side], repeats: int) -> list[tuple[_Side, int]]:
    """Side and repeat in the order in which they run: every other repeat goes backwards.

    >>> alternating(["a", "b"], 2)
    [('a', 0), ('b', 0), ('b', 1), ('a', 1)]
    """
    return [(side, repeat) for repeat in range(repeats) for side in (reversed(sides) if repeat % 2 else sides)]


def peak_bytes() -> int:
    """High-water mark of this process's resident memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def resident_bytes_marked() -> int | None:
    """Resident memory now, from which Linux is told to mark the highest anew: loading has marks of its own. None where
    the system does not tell.
    """
    if not sys.platform.startswith("linux"):
        return None
    Path("/proc/self/clear_refs").write_text("5")
    return _status_bytes("VmRSS")


def peak_above(marked_bytes: int | None) -> int | None:
    """How far resident memory has risen at most since `resident_bytes_marked`."""
    return None if marked_bytes is None else _status_bytes("VmHWM") - marked_bytes


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def machine() -> str:
    """Where the figures come from; with the processor's name where the system tells it."""
    cores = f"{platform.system()}, {platform.machine()}, {os.cpu_count()} cores"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return cores
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{cores} of {names[0]}" if names else cores


def phonebook(path: Path | None, num_records: int) -> tuple[str, list[Pair]]:
    """Names and numbers to learn: what to call them, and so many pairs.

    Args:
        path: a file of records, of which the first are taken, such as the paper's PB32000.jsonl; None: invented
            contacts.
        num_records: how many.
    """
    import byheart

    if path is None:
        return "invented contacts", invented(num_records)
    pairs: list[Pair] = [
        (record.prompt, record.answer) for record in byheart.Memory.from_file(path).records[:num_records]
    ]
    if len(pairs) < num_records:
        raise SystemExit(f"{path} has {len(pairs):,} records, {num_records:,} are asked for; give another file")
    return path.name, pairs


def invented(num_records: int) -> list[Pair]:
    """Contacts as examples/make_contacts.py makes them; once its names are used up, again with a middle initial."""
    sys.path.append(str(EXAMPLES))
    from make_contacts import FIRST_NAMES, SEED, SURNAMES, contacts

    pairs: list[Pair] = []
    for number, initial in enumerate(("", *(f"{letter}. " for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))):
        some = contacts(min(num_records - len(pairs), len(FIRST_NAMES) * len(SURNAMES)), SEED + number)
        pairs += [(f"{name.replace(' ', f' {initial}', 1)}:", digits) for name, digits in some]
    return pairs


def with_files(
    parser: argparse.ArgumentParser,
    name: str,
    *,
    left_out: str | None = None,
    draws: bool = True,
    has_threads: bool = True,
) -> argparse.Namespace:
    """The arguments, among them those that all benchmarks have. A quick run does not write over a full one's results.

    Args:
        parser: with the benchmark's own arguments.
        name: of the files.
        left_out: what a quick run leaves out, in words that follow a colon; None: the parser has a ``--quick`` of its
            own, and nothing is said.
        draws: whether there is a picture; it is called after the results.
        has_threads: whether it can be told how many to compute with.

    Returns:
        The namespace, with ``left_out`` the sentence for `publish`: None of a full run.
    """
    if left_out is not None:
        parser.add_argument("--quick", action="store_true", help=f"minutes instead of hours: {left_out}")
    if has_threads:
        parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help=f"benchmarks/results/{name}.json; the table goes beside it")
    if draws:
        parser.add_argument("--picture", type=Path, help=f"docs/images/{name}.svg")
    arguments = parser.parse_args()
    arguments.out = arguments.out or RESULTS / f"{name}{'_quick' if arguments.quick else ''}.json"
    if draws:
        folder = Path("runs") if arguments.quick else PICTURES
        arguments.picture = arguments.picture or folder / f"{arguments.out.stem}.svg"
    arguments.left_out = None
    if arguments.quick and left_out is not None:
        arguments.left_out = f"Quick, where no option says otherwise: {left_out}. Quote the figures of a full run."
    return arguments


def write(path: Path, value: Any) -> None:
    """JSON for people and programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def earlier(path: Path, head: dict[str, Any]) -> dict[str, Any] | None:
    """What runs of the same settings have left in a file of JSON; None: there is none.

    Args:
        path: the file.
        head: settings, as they stand in it.

    Raises:
        SystemExit: it is of other settings.
    """
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    if differing := [name for name in head if found.get(name) != head[name]]:
        raise of_another(path, differing)
    return found


def of_another(path: Path, differing: Sequence[str]) -> SystemExit:
    """The error for a file of results that what is run now would be mixed with."""
    return SystemExit(f"{path} is of another {', '.join(differing)}; give another --out, or remove it")


def publish(path: Path, report: Any, told: str, left_out: str | None = None) -> str:
    """Writes results as JSON and what is told of them as Markdown beside it, as every benchmark does.

    Args:
        path: of the JSON.
        report: plain values.
        told: table and verdicts.
        left_out: the sentence of a quick run.

    Returns:
        The Markdown, to be printed.
    """
    whole = "\n\n".join(filter(None, [told, left_out]))
    write(path, report)
    path.with_suffix(".md").write_text(f"{whole}\n", encoding="utf-8")
    return whole


def megabytes(num_bytes: float | None) -> str:
    """For a table's cell; empty where there is nothing to say."""
    return "" if num_bytes is None else f"{num_bytes / 1e6:,.0f}"


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows in Markdown; all columns but the first are numbers.

    >>> print(table(["side", "s"], [["a", "1"]]))
    | side | s |
    |---|---:|
    | a | 1 |
    """
    return "\n".join(
        [f"| {' | '.join(names)} |", f"|---|{'---:|' * (len(names) - 1)}", *(f"| {' | '.join(row)} |" for row in rows)]
    )
