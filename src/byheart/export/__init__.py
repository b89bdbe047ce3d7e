"""What leaves the house: the bundle, a PEFT adapter directory with its certificate."""
