"""Runs one side in this process: ``python -m peers '<job as JSON>' OUTCOME``; see `race.Job`."""

import importlib
import json
import sys
from pathlib import Path

from peers import SIDES
from peers.race import Job, Race

job = Job(**json.loads(sys.argv[1]))
importlib.import_module(SIDES[job.side]).run(Race(job, Path(sys.argv[2])))
