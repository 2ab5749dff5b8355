"""What the benchmarks share: fields, projects driven as a user drives them, scores, kept runs, tables.

A project is made, taught and asked through `annotation_store` and the worker's public requests
(`training.client`, `training.protocol`), with their defaults; ``tests/test_benchmarks.py`` holds that.
"""
