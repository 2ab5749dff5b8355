"""The parts of ``examples/benchmark_sparse.py``: data, stock Ultralytics, our engine, scores."""
