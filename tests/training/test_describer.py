"""Class and attributes: what is missing trains nothing, any schema will do, words move by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.engine.data import log_priors
from training.models.model import adapt, new_model
from training.networks.describer import description_loss
from training.networks.vocabulary import Vocabulary


def test_missing_and_unsure_allow_nothing(words: Vocabulary) -> None:
    for said in (None, "unsure", "Plasma cell"):
        assert not words.targets(said, {})[0].any()
    for attributes in ({}, {"size": "unsure"}, {"size": "huge"}):
        assert not words.targets("Neutrophil", attributes)[1].any()


def test_a_group_allows_its_members(words: Vocabulary) -> None:
    assert words.targets("blast", {})[0].tolist() == [False, True, True]


def test_a_missing_attribute_trains_nothing(words: Vocabulary) -> None:
    logits = [torch.zeros(1, len(values), requires_grad=True) for values in words.heads]
    targets = words.targets("Neutrophil", {"size": "large"})
    allowed = [torch.from_numpy(t)[None] for t in targets]
    priors = [torch.zeros(len(values)) for values in words.heads]
    loss, parts = description_loss(logits, allowed, priors, balance=0.5)
    loss.backward()
    assert set(parts) == {0, 1}
    assert logits[0].grad is not None
    assert logits[0].grad.any()
    assert logits[2].grad is None or not logits[2].grad.any()


def test_a_cell_without_any_label_gives_no_gradient(words: Vocabulary) -> None:
    logits = [torch.randn(2, len(values), requires_grad=True) for values in words.heads]
    allowed = [torch.zeros(2, len(values), dtype=torch.bool) for values in words.heads]
    priors = [torch.zeros(len(values)) for values in words.heads]
    loss, parts = description_loss(logits, allowed, priors, balance=0.5)
    loss.backward()
    assert parts == {}
    assert float(loss.detach()) == 0
    assert all(logit.grad is None or not logit.grad.any() for logit in logits)


def test_a_group_trains_the_summed_probability() -> None:
    logits = torch.tensor([[1.0, 0.5, -0.3]], requires_grad=True)
    allowed = torch.tensor([[False, True, True]])
    loss, _ = description_loss([logits], [allowed], [torch.zeros(3)], balance=0.0)
    p = torch.softmax(logits.detach(), 1)[0]
    assert float(loss.detach()) == pytest.approx(-float(torch.log(p[1] + p[2])))
    loss.backward()
    assert logits.grad is not None
    # the members rise in proportion to what they are: their shares of each other do not change
    assert float(logits.grad[0, 1] / logits.grad[0, 2]) == pytest.approx(float(p[1] / p[2]), rel=1e-4)


def test_rare_values_weigh_more_when_balanced() -> None:
    priors = torch.from_numpy(log_priors(np.array([[True, False]] * 98 + [[False, True]])))
    logits = torch.zeros(1, 2)
    rare = torch.tensor([[False, True]])
    plain, _ = description_loss([logits], [rare], [priors], balance=0.0)
    balanced, _ = description_loss([logits], [rare], [priors], balance=1.0)
    assert float(balanced) > 3 * float(plain)


@pytest.mark.parametrize(
    ("classes", "attributes"),
    [((), {}), (("A",), {}), ((), {"size": ("s", "l")}), (tuple("ABCDEFG"), {"a": ("x", "y", "z")})],
)
def test_any_schema_will_do(classes: tuple[str, ...], attributes: dict[str, tuple[str, ...]]) -> None:
    words = Vocabulary(classes, {}, attributes)
    model = new_model(words).eval()
    out = model.describer(torch.rand(2, 3, 112, 112), torch.zeros(2))
    assert [o.shape[1] for o in out] == [len(v) for v in words.heads]


def test_heads_move_between_schemas_by_name(words: Vocabulary) -> None:
    parent = new_model(words, seed=1)
    parent.taught = {
        name: dict.fromkeys(values, 3.0) for name, values in zip(words.head_names, words.heads, strict=True)
    }
    del parent.taught["vacuoles"]["absent"]
    other = Vocabulary(
        classes=("Monocyte", "Neutrophil"),
        groups={},
        attributes={"vacuoles": ("many", "absent"), "shape": ("round", "odd")},
    )
    child = adapt(parent, other)
    old, new = parent.describer.heads, child.describer.heads
    assert torch.equal(new[0].weight[1], old[0].weight[0])  # Neutrophil
    assert not new[0].weight[0].any()  # Monocyte is new: no opinion
    assert torch.equal(new[1].weight[0], old[2].weight[2])  # vacuoles many
    assert not new[1].weight[1].any()  # absent: its row says something, but no cell taught it
    assert not new[2].weight.any()
    assert torch.equal(child.describer.hidden.weight, parent.describer.hidden.weight)
