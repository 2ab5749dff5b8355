"""Torch's AdamW without the import of torch's compiler.

Torch's optimisers import `torch._dynamo` only to disable it: 900 modules, 5 s at the start of each round. The
methods are used here without that wrapper; if a version of torch wraps them otherwise, they are used as they
are.
"""

from __future__ import annotations

from typing import Any

import torch


def _plain(method: Any) -> Any:
    return getattr(method, "__wrapped__", method)


class AdamW(torch.optim.AdamW):
    """See `torch.optim.AdamW`."""

    add_param_group = _plain(torch.optim.AdamW.add_param_group)
    zero_grad = _plain(torch.optim.AdamW.zero_grad)
    state_dict = _plain(torch.optim.AdamW.state_dict)
    load_state_dict = _plain(torch.optim.AdamW.load_state_dict)
    _step = _plain(torch.optim.AdamW.step)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update the weights."""
        self._step()
