"""A bundle behind an address: an OpenAI-compatible server, with llama.cpp at work behind it."""
