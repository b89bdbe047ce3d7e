"""The Parametric Memory Law: ΔL = C·r^α·ℓ^(−β) + b, fitted and used. numpy and scipy only; loads no torch."""
