"""The engine that writes: gradient descent on an adapter over cached activations. Knows nothing about text."""
