"""Benchmarks: the transport beside others, on links that this package sets up. See README.md."""
