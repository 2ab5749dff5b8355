"""A persistent worker, as used by an open window: started once for all requests of a benchmark."""

from __future__ import annotations

from training.client import PersistentWorker

_worker = PersistentWorker()  # it exits when this process does, which closes its input
ask, leave = _worker.ask, _worker.leave
