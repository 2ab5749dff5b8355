"""AdamW as torch has it, without torch's compiler.

An optimiser of torch imports `torch._dynamo`, only to tell it to stand aside: 900 modules, 5 s of a round's
start. The methods are taken as they were before torch wrapped them for that; where a version of torch wraps
them otherwise, they are used as they are.
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
        """Change the weights by their gradients."""
        self._step()
