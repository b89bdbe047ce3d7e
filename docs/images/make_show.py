"""Makes show.svg, the README's picture: what `byheart show` prints for a bundle, as the terminal colours it.

python docs/images/make_show.py runs/contacts
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 96
NUM_RECORDS = 9


def main(bundle: str) -> None:
    """Runs the command with colours on, and draws a terminal around the first records of what it prints."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "byheart", "show", bundle]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout  # noqa: S603
    lines = printed.rstrip().splitlines()
    start = next(i for i, line in enumerate(lines) if not re.sub(r"\x1b\[[\d;]*m", "", line).strip()) + 1
    shown = [*lines[: start + NUM_RECORDS], "…", "", lines[-1]]
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi("\n".join(shown)))
    drawing = console.export_svg(title=f"byheart show {bundle}", unique_id="byheart-show")
    drawing = re.sub(r"\s*@font-face \{.*?\}", "", drawing, flags=re.DOTALL)  # no font from the network
    Path(__file__).with_name("show.svg").write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
