"""Capacity: the densest adapter that gives everything back to the letter.

    python benchmarks/capacity.py [--points phonebook,r4] [--minutes 20] [--records FILE] [--text FILE] [--quick]

Each point is kept as it ends, and the same command goes on with those that are left.

Two things to learn: `phonebook`, a hundred names and numbers (`measure.phonebook`), and `random`, one record of 200
random tokens. Those are drawn one after the other, uniformly over the tokenizer's ordinary tokens, and drawn again
where the text so far would not be encoded as the tokens drawn; or they are the first 200 of the text that ``--text``
names, such as the paper's long_context/r100.jsonl, a text whose every token has been exchanged for a random one.

    density = bits / parameters of the adapter

bits is the manifest's: an upper bound of the information in the answers that come back. Where it is known what they
were drawn from, they hold no more than log2 of how many could have been drawn, which counts where it is less: of a
number log2 10 a digit, 33.2 bits for ten, of random tokens log2 of how many would have been taken.

A point (`capacity_points.py`) is a placement, a rank and a method, learnt without a margin or with a small one, since
an adapter near its capacity has none to give. Its budget is the epochs that fit into the time limit, by a short run of
the same point before: a run that ends with its budget has a certificate too, of the best weights it had, where one that
is stopped has none. The densest point at exact match 1.0 is marked. The bar: half a bit a parameter there, on either of
the two.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import learning_run
import measure
import pictures
from capacity_points import BATCH_SIZE, POINTS, QUICK_POINTS

import byheart
from byheart.settings import merged, read_yaml

NUM_PAIRS, NUM_TOKENS = 100, 200
PROBE_STEPS = 20
BAR = 0.5


QUICK_PAIRS, QUICK_TOKENS, QUICK_MINUTES = 10, 20, 1.0


def main() -> None:
    """Tries the points, one after the other, and reports."""
    arguments = _arguments()
    tasks = {point.task: task(point.task, arguments) for point in arguments.points}
    head = {
        "num_threads": arguments.threads,
        "machine": measure.machine(),
        "minutes": arguments.minutes,
        "epochs": arguments.epochs,
        "config": arguments.config,
    }
    rows = earlier(arguments.out, head, {name: source for name, (source, *_) in tasks.items()})
    for point in arguments.points:
        if point.name in {row["point"] for row in rows}:
            continue
        source, pairs, drawn_bits = tasks[point.task]
        config = merged(merged(point.config, arguments.config), {"seed": measure.FIRST_SEED})
        num_epochs = arguments.epochs or epochs_within(60 * arguments.minutes, pairs, config, arguments.threads)
        job = learning_run.Job(pairs, merged(config, {"learn": {"epochs": num_epochs}}), arguments.threads)
        run = learning_run.learnt(job)
        bits = min(run["bits"], drawn_bits_of(run["exact_match"], drawn_bits))
        rows.append(
            {
                "point": point.name,
                "records": source,
                "budget_epochs": num_epochs,
                "is_densest": False,
                **run,
                "manifest_bits": run["bits"],
                "bits": bits,
                "bits_per_parameter": bits / run["num_parameters"],
            }
        )
        mark_densest(rows)
        report = {**head, "rows": rows}
        measure.publish(arguments.out, report, text(report), arguments.left_out)
        print(f"{point.name}: exact match {run['exact_match']:.2f} in {run['seconds']:.0f} s", flush=True)
    print(f"\n{text({**head, 'rows': rows})}")
    draw(rows, arguments.picture)


def earlier(path: Path, head: dict[str, Any], sources: dict[str, str]) -> list[dict[str, Any]]:
    """The points that a run of the same settings has measured already, and left in its file.

    Args:
        path: the file.
        head: settings.
        sources: task → what its records are called.

    Raises:
        SystemExit: the file is of other settings, records or another machine.
    """
    if (found := measure.earlier(path, head)) is None:
        return []
    of = {row["point"].split("/")[0]: row["records"] for row in found["rows"]}
    if differing := [f"{name}: {source}" for name, source in sources.items() if of.get(name, source) != source]:
        raise measure.of_another(path, differing)
    return found["rows"]


def task(name: str, arguments: argparse.Namespace) -> tuple[str, list[measure.Pair], float]:
    """What to call a task's records, its pairs, and the most bits they can hold by how they were drawn."""
    if name == "phonebook":
        source, pairs = measure.phonebook(arguments.records, arguments.num_pairs)
        return source, pairs, digit_bits(answer for _, answer in pairs)
    from byheart.memory.tokenizer import undisturbed
    from byheart.model.catalog import load_tokenizer
    from byheart.model.config import ModelConfig

    tokenizer = load_tokenizer(ModelConfig())
    with undisturbed(tokenizer):
        if arguments.text is None:
            text, bits = random_text(tokenizer, arguments.num_tokens)
            return f"{arguments.num_tokens} random tokens", [("Recite the random text.", text)], bits
        text = beginning(byheart.Memory.from_file(arguments.text).records[0].answer, tokenizer, arguments.num_tokens)
    return arguments.text.name, [("Recite the random text.", text)], math.inf


def digit_bits(answers: Iterable[str]) -> float:
    """The most bits that numbers can hold, log2 10 a digit; no bound where an answer is anything else."""
    answers = list(answers)
    is_bound = all(re.fullmatch("[0-9]+", answer) for answer in answers)
    return math.log2(10) * sum(map(len, answers)) if is_bound else math.inf


def drawn_bits_of(exact_match: float, drawn_bits: float) -> float:
    """Of the answers that come back; those of a task are of one length."""
    return drawn_bits * exact_match if exact_match else 0.0


def random_text(tokenizer: Any, num_tokens: int) -> tuple[str, float]:
    """Random tokens as text, and the bits in it: log2 of the tokens that could have been drawn, taken from how often
    one had to be drawn again.
    """
    from byheart.memory.tokenizer import control_ids, text_of, token_ids

    ordinary = sorted(set(tokenizer.get_vocab().values()) - control_ids(tokenizer))
    draw, ids, num_draws = random.Random(measure.FIRST_SEED), [], 0
    while len(ids) < num_tokens:
        longer, num_draws = [*ids, draw.choice(ordinary)], num_draws + 1
        if token_ids(tokenizer, [text_of(tokenizer, longer)], markers_are_text=True) == [longer]:
            ids = longer
    return text_of(tokenizer, ids), num_tokens * math.log2(len(ordinary) * num_tokens / num_draws)


def beginning(text: str, tokenizer: Any, num_tokens: int) -> str:
    """The first tokens of a text; as many fewer as it takes not to end within a character."""
    from byheart.memory.tokenizer import text_of, token_ids

    (ids,) = token_ids(tokenizer, [text], markers_are_text=True)
    ids = ids[:num_tokens]
    while not text.startswith(text_of(tokenizer, ids)):
        ids = ids[:-1]
    return text_of(tokenizer, ids)


def epochs_within(seconds: float, pairs: list[measure.Pair], config: dict[str, Any], num_threads: int) -> int:
    """How many epochs of all records fit, by a short run."""
    num_probed = math.ceil(PROBE_STEPS / math.ceil(len(pairs) / BATCH_SIZE))
    run = learning_run.learnt(learning_run.Job(pairs, merged(config, {"learn": {"epochs": num_probed}}), num_threads))
    return max(1, int((seconds - run["reading_seconds"]) / run["seconds_an_epoch"]))


def mark_densest(rows: list[dict[str, Any]]) -> None:
    """Of each task, the densest point so far that gives everything back."""
    for name in {row["point"].split("/")[0] for row in rows}:
        mine = [row for row in rows if row["point"].startswith(f"{name}/")]
        densest = max((row["bits_per_parameter"] for row in mine if row["exact_match"] == 1), default=None)
        for row in mine:
            row["is_densest"] = row["exact_match"] == 1 and row["bits_per_parameter"] == densest


def text(report: dict[str, Any]) -> str:
    """The table and whether the bar holds, in Markdown."""
    told = verdict(report["rows"])
    if report["config"]:
        told = f"The bar is not measured: --config changes what its points are. {json.dumps(report['config'])}"
    return f"{table(report['rows'])}\n\n{told}"


def verdict(rows: list[dict[str, Any]]) -> str:
    """Whether the bar holds, in a sentence; a point that was not tried may be what meets it."""
    if not {row["point"] for row in rows} & {point.name for point in POINTS}:
        return f"The bar of {BAR:g} bits a parameter is not measured: none of its points was tried."
    best = max((row["bits_per_parameter"] for row in rows if row["exact_match"] == 1), default=0.0)
    tried = {row["point"] for row in rows} & {point.name for point in POINTS}
    is_met = "met" if best >= BAR else "not met" if len(tried) == len(POINTS) else "open"
    densest = f"{best:.2f} is the densest at exact match 1.0" if best else "no point gives everything back"
    return (
        f"The bar of {BAR:g} bits a parameter is {is_met}: {densest}; {len(tried)} of {len(POINTS)} points were tried."
    )


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Horizontal bars, one a point: full where everything comes back, hatched where it does not, and the bar."""
    figure, (axes,) = pictures.panels(9, 1.1 + 0.36 * len(rows))
    labels = [f"{row['bits_per_parameter']:.2f}, exact {row['exact_match']:.2f}" for row in rows]
    densities, is_whole = [row["bits_per_parameter"] for row in rows], [row["exact_match"] == 1 for row in rows]
    pictures.bars(axes, [row["point"].replace("/", ", ") for row in rows], densities, labels, is_whole)
    axes.set_xlim(right=max(axes.get_xlim()[1], 1.2 * BAR))
    axes.axvline(BAR, color=pictures.LIGHT, linestyle=":", zorder=0)
    axes.set_xlabel(f"bits a parameter that come back; full where all do; dotted: {BAR:g}")
    pictures.save(figure, path)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown, the densest in bold."""
    names = (
        "point, parameters, bits, bits a parameter, exact match, certified, seconds, epochs, whole ones allowed, ended"
    )
    cells = []
    for row in rows:
        bold = "**" if row["is_densest"] else ""
        cells.append(
            [
                f"{bold}{row['point']}{bold}",
                f"{row['num_parameters']:,}",
                f"{row['bits']:,.0f}",
                f"{bold}{row['bits_per_parameter']:.2f}{bold}",
                f"{row['exact_match']:.2f}",
                f"{row['num_certified']}",
                f"{row['seconds']:.0f}",
                f"{row['epochs']}",
                f"{row['budget_epochs']}",
                row["stop_reason"],
            ]
        )
    note = "Bits are of the answers that come back. Bold: the densest of its task at exact match 1.0."
    return f"{measure.table(names.split(', '), cells)}\n\n{note}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", help="parts of their names, with commas: " + ", ".join(p.name for p in POINTS))
    parser.add_argument("--minutes", type=float, help="of reading and training, for each point (20)")
    parser.add_argument("--epochs", type=int, help="the budget of each point, in place of what fits into the minutes")
    parser.add_argument("--records", type=Path, help="a file of records for phonebook; the first are taken")
    parser.add_argument("--text", type=Path, help="a file whose first record's answer begins with what random learns")
    parser.add_argument("--config", type=lambda path: read_yaml(Path(path)), default={}, help="settings over a point's")
    left_out = (
        f"{QUICK_PAIRS} pairs and {QUICK_TOKENS} tokens, not {NUM_PAIRS} and {NUM_TOKENS}, at one roomy point each for "
        f"{QUICK_MINUTES:g} minute, not {len(POINTS)} for 20: that it works, and nothing of how dense an adapter can be"
    )
    arguments = measure.with_files(parser, "capacity", left_out=left_out)
    quick = arguments.quick
    arguments.num_pairs = QUICK_PAIRS if quick else NUM_PAIRS
    arguments.num_tokens = QUICK_TOKENS if quick else NUM_TOKENS
    arguments.minutes = arguments.minutes or (QUICK_MINUTES if quick else 20.0)
    points = QUICK_POINTS if quick else POINTS
    arguments.points = [p for p in points if any(part in p.name for part in (arguments.points or "").split(","))]
    if not arguments.points:
        parser.error(f"no such point; there are {', '.join(point.name for point in points)}")
    return arguments


if __name__ == "__main__":
    main()
