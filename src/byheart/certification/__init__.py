"""The proof: full, uncached forward passes and the free run. Independent of learn; never reuses training logits."""
