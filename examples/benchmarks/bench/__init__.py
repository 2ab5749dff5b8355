"""Shared code of the benchmarks: fields, projects used through public requests, scores, cache, tables.

Projects are created, trained and queried through `annotation_store` and the worker's public requests
(`training.client`, `training.protocol`), with their defaults; ``tests/test_benchmarks.py`` holds that.
"""
