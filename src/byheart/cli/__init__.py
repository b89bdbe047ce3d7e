"""The command line: one file a verb. On top of everything; nothing imports it, and it imports lazily."""
