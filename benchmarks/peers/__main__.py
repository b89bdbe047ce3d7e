"""Runs one side in this process: ``python -m peers JOB OUTCOME``, both files of JSON; see `race.Job`."""

import importlib
import json
import sys
from pathlib import Path

from peers import SIDES
from peers.race import Job, Race

job = Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
importlib.import_module(SIDES[job.side]).run(Race(job, Path(sys.argv[2])))
