"""Many runs of byheart.learn over a grid, resumable, on one machine or a cluster, into one table."""
