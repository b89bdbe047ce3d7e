"""Where the budget goes: TokenWeighting × RecordSchedule. Pure tensors and numbers; no I/O, no model."""
