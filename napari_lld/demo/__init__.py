"""The whole loop, unattended, on the bundled sample fields; a simulated reviewer stands in for the person."""

from __future__ import annotations

from napari_lld.demo.loop import Outcome, Settings, Watcher, plan_review, run_demo

__all__ = ["Outcome", "Settings", "Watcher", "plan_review", "run_demo"]
