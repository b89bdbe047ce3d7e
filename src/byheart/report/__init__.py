"""Figures and tables from what other rooms have written. Reads artefacts only; trains nothing."""
