"""The attentive probe against the same network written out, head by head."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from worldbench.probes.attentive import Pooler
from worldbench.probes.attentive_fit import AttentiveHeads, Schedule, Step, fit_attentive


@dataclass
class Table:
    x: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor) -> Tensor:
        return self.x[index]


class Published(nn.Module):
    """One learned query, cross-attention with a residual MLP, a linear layer; blocks before it."""

    def __init__(self, d: int, classes: int, heads: int, depth: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.zeros(d))
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.q, self.kv, self.proj = nn.Linear(d, d), nn.Linear(d, 2 * d), nn.Linear(d, d)
        self.fc1, self.fc2 = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.linear = nn.Linear(d, classes)
        for i in range(depth - 1):
            block = nn.Module()
            block.norm1, block.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
            block.qkv, block.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
            block.fc1, block.fc2 = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
            self.add_module(f"block{i}", block)
        self.depth = depth

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        for i in range(self.depth - 1):
            block = getattr(self, f"block{i}")
            q, k, v = map(self.split, block.qkv(block.norm1(x)).chunk(3, dim=2))
            told = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = x + block.proj(told)
            x = x + block.fc2(nn.functional.gelu(block.fc1(block.norm2(x))))
        query = self.query.expand(len(x), 1, -1)
        k, v = map(self.split, self.kv(self.norm1(x)).chunk(2, dim=2))
        told = scaled_dot_product_attention(self.split(self.q(query)), k, v)
        y = query + self.proj(told.transpose(1, 2).flatten(2))
        y = y + self.fc2(nn.functional.gelu(self.fc1(self.norm2(y))))
        return self.linear(y[:, 0])


def made(pooler: Pooler, given: dict[str, Tensor], head: int) -> Published:
    net = Published(pooler.width, pooler.classes, pooler.attention_heads, pooler.depth).double()
    net.load_state_dict({name: value[head].detach() for name, value in given.items()})
    return net


@pytest.mark.parametrize("depth", [1, 4])
def test_it_is_the_published_network(depth: int) -> None:
    pooler = Pooler(width=128, classes=7, depth=depth)
    assert pooler.attention_heads == 2
    given = pooler.start(3, 0, torch.empty(0, dtype=torch.float64))
    generator = torch.Generator().manual_seed(1)
    for value in given.values():
        with torch.no_grad():
            value += 0.2 * torch.randn(value.shape, generator=generator).double()
    tokens = torch.randn(4, 10, 128, generator=generator).double()
    found = pooler(given, tokens)
    assert found.shape == (3, 4, 7)
    for head in range(3):
        assert torch.allclose(found[head], made(pooler, given, head)(tokens), atol=1e-10)


@pytest.mark.parametrize(("depth", "width"), [(1, 384), (4, 128), (1, 1024)])
def test_it_has_as_many_parameters_as_published(depth: int, width: int) -> None:
    pooler = Pooler(width, 400, depth)
    with torch.device("meta"):
        net = Published(width, 400, pooler.attention_heads, depth)
    assert pooler.parameters == sum(p.numel() for p in net.parameters())
    d = width
    block = 12 * d * d + 13 * d  # queries, keys, values, projection, MLP of 4, two norms
    assert pooler.parameters == d + depth * block + d * 400 + 400


def test_attention_heads_divide_any_width() -> None:
    assert [Pooler(w, 2).attention_heads for w in (1024, 384, 24, 200, 1)] == [16, 6, 1, 2, 1]


def test_it_starts_as_published() -> None:
    given = Pooler(256, 10).start(2, 0, torch.empty(0))
    assert given["query"].std().item() == pytest.approx(0.02, rel=0.15)
    assert given["q.weight"].std().item() == pytest.approx(0.02, rel=0.05)
    assert given["proj.weight"].std().item() == pytest.approx(0.02 / 2**0.5, rel=0.05)
    assert not given["kv.bias"].any()
    assert (given["norm1.weight"] == 1).all()
    assert torch.equal(given["fc1.weight"][0], given["fc1.weight"][1])


def clips(seed: int = 0) -> tuple[Table, Tensor]:
    """Draws clips whose class is told by four tokens out of twelve, at random places."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(48) % 4
    x = torch.randn(48, 12, 32, generator=generator)
    signs = torch.randn(4, 32, generator=torch.Generator().manual_seed(99))
    for _ in range(4):
        x[torch.arange(48), torch.randint(12, (48,), generator=generator)] = 5 * signs[labels]
    return Table(x), labels


GRID = (Step(1e-3, 0.01), Step(3e-3, 0.1), Step(1e-4, 0.0), Step(10.0, 0.0))
SHORT = Schedule(epochs=1, least=12, batch=20)


def trained(steps: tuple[Step, ...], depth: int = 1) -> AttentiveHeads:
    table, labels = clips()
    return fit_attentive(table, labels, 4, steps, SHORT, depth=depth, dtype=torch.float64)


@pytest.mark.parametrize("depth", [1, 2])
def test_heads_trained_together_are_those_trained_alone(depth: int) -> None:
    """Also beside one whose rate is absurd: what it does reaches nobody else."""
    table, _ = clips(1)
    together = trained(GRID, depth).scores(table.x)
    for i, step in enumerate(GRID[:3]):
        alone = trained((step,), depth).scores(table.x)[0]
        assert (together[i] - alone).abs().max() < 1e-6


def test_training_is_that_of_torchs_adamw_with_clipping() -> None:
    table, labels = clips()
    step = GRID[1]
    heads = trained((step,))
    net = made(heads.pooler, heads.pooler.start(1, 0, torch.empty(0).double()), 0)
    decayed = [p for n, p in net.named_parameters() if p.ndim > 1 or n == "query"]
    others = [p for n, p in net.named_parameters() if not (p.ndim > 1 or n == "query")]
    groups = [
        {"params": decayed, "weight_decay": step.decay},
        {"params": others, "weight_decay": 0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=step.rate)
    total = SHORT.total(len(table))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total)
    for index in SHORT.orders(len(table)):
        optimiser.zero_grad()
        cross_entropy(net(table.x[index].double()), labels[index]).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    expected = net(table.x.double()).softmax(dim=1)
    assert (heads.scores(table.x)[0] - expected).abs().max() < 1e-5


def test_it_learns_what_a_few_tokens_say() -> None:
    table, labels = clips()
    heads = fit_attentive(table, labels, 4, GRID[:2], Schedule(epochs=1, least=120, batch=48))
    test, truth = clips(1)
    right = (heads.scores(test.x).argmax(dim=2) == truth).double().mean(dim=1)
    assert right.max() >= 0.9


def test_a_schedule_lasts_at_least_so_many_steps_and_sees_all_clips_alike() -> None:
    schedule = Schedule(epochs=2, least=10, batch=16)
    orders = list(schedule.orders(40))
    assert len(orders) == schedule.total(40) == 12
    counts = torch.bincount(torch.cat(orders))
    assert counts.tolist() == [4] * 40
    assert Schedule(epochs=5, least=1, batch=16).total(40) == 15
    assert torch.equal(torch.cat(orders), torch.cat(list(schedule.orders(40))))
