"""The worker that stays, as while a window is open: one start for all requests of a benchmark."""

from __future__ import annotations

from training.client import PersistentWorker

_worker = PersistentWorker()  # it ends when this process has gone, and its input with it
ask, leave = _worker.ask, _worker.leave
