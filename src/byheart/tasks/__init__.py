"""The paper's benchmarks as memories, each a generator with a seed and a reader of the authors' files."""
