"""Many machines: models run on a cluster of dask.distributed, and one process writes what comes back."""
