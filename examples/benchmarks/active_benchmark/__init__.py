"""Parts of ``benchmark_active.py``."""
