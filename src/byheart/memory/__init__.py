"""What is to be learnt: text and its token ids. Knows no model."""
