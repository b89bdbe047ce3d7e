"""The sides of `time_to_exact.py`, one file each. A side is a module with four names:

    LABEL       what tables call it
    SETTINGS    what it runs with, unless a grid has recorded something better
    GRID        the settings that ``--grid`` tries, the most promising first; empty where there is nothing to choose
    run(race)   imports what it needs, calls ``race.load()``, trains, and tells ``race`` of every epoch's end

`race.py` holds what they share: the records, the stopwatch, the check and the outcome. A new side is a file and a line
here. Importing a side loads no torch, so the process that starts the others stays small.
"""

SIDES = {
    "byheart": "peers.byheart_learn",
    "trl": "peers.trl_sft",
    "trainer": "peers.plain_trainer",
    "authors": "peers.authors_loop",
}
