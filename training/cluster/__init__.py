"""Run models on a dask.distributed cluster; a single process checks and stores the results."""
