"""Measurements, side by side: `python -m benchmarks NAME [--quick]`. Timings are never tests."""
