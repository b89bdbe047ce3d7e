"""``python -m byheart``: the same command."""

from byheart.cli.main import main

main()
