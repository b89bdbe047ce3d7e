"""The cells that plans need: which, run, and made a calibration of. Learning itself knows only `planning`."""
