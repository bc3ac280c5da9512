"""The mutable shell around the pure rounds that every door shares: a batch of running markets."""

from __future__ import annotations

import operator
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import draws, rounds, storage, tree
from marketenv.core.market import Market, Report, agent_names
from marketenv.core.policy import Policy
from marketenv.core.words import plain


@dataclass(frozen=True)
class Turn:
    """What one step of a batch gives back; ``report`` is None in the middle of a round."""

    seen: Float[Tensor, "markets agents dim"]
    rewards: Float64[Tensor, "markets agents"]
    terminated: Bool[Tensor, "markets"]
    truncated: Bool[Tensor, "markets"]
    report: Report | None
    final_seen: Float[Tensor, "markets agents dim"]  # before a restart; equal to ``seen`` where nothing restarted


class Batch:
    """A batch of running markets: reset, step, restart, save and load. It adds no rule of its own."""

    def __init__(self, market: Market, n_markets: int) -> None:
        self.market, self.n_markets = market, n_markets
        self.now: rounds.Situation | None = None
        self.report: Report | None = None
        self._facts: dict[str, Tensor] = {}
        self._base: Tensor | None = None
        self._episode = torch.zeros(n_markets, dtype=torch.int64, device=market.device)

    def reset(self, seed: Any) -> Float[Tensor, "markets agents dim"]:
        """Start an episode: an integer seeds market k with seed + k, None goes on to fresh episodes of the last seed."""
        base, episode = self._base, self._episode + 1
        if seed is not None or base is None:
            base, episode = self._seeds(secrets.randbits(40) if seed is None else seed), torch.zeros_like(episode)
        self.now = rounds.begin(self.market, _episode_seeds(base, episode))
        self._base, self._episode, self.report, self._facts = base, episode, None, {}
        return rounds.observe(self.market, self.now)

    def running(self) -> rounds.Situation:
        """Where the markets stand; ValueError before the first reset."""
        if self.now is None:
            raise ValueError("the market has not started: call reset() first.")
        return self.now

    def step(self, actions: Float[Tensor, "markets agents width"], restart: bool = False) -> Turn:
        """Play one stage; with ``restart`` every market that is over begins its next episode in the same step."""
        now, report = rounds.advance(self.market, self.running(), actions)
        self.now = now
        if report is None:
            seen = rounds.observe(self.market, now)
            nobody = torch.zeros(self.n_markets, dtype=torch.bool, device=seen.device)
            return Turn(seen, torch.zeros(seen.shape[:2], dtype=torch.float64, device=seen.device), nobody, nobody, None, seen)
        self.report, self._facts = report, report.infos()
        truncated = (now.state.round >= self.market.horizon) & ~report.terminated
        final = seen = rounds.observe(self.market, now)
        over = report.terminated | truncated
        if now.quotes is not None and bool(over.any()):  # a market that is over sees what it would see alone
            final = torch.where(over[:, None, None], rounds.observe_end(self.market, now.state, seen), seen)
        if restart and bool(over.any()):
            assert self._base is not None
            self._episode = self._episode + over
            self.now = rounds.merge(over, rounds.begin(self.market, _episode_seeds(self._base, self._episode)), now)
            seen = rounds.observe(self.market, self.now)
            self._facts = {name: values.masked_fill(over[:, None], 0) for name, values in self._facts.items()}
        return Turn(seen, report.rewards, report.terminated, truncated, report, final)

    def act(self, policies: Mapping[str, Policy], skip: frozenset[str] = frozenset()) -> Float[Tensor, "markets agents width"]:
        """Actions of all agents by their policies; rows of ``skip`` stay zero."""
        return rounds.act(self.market, policies, self.running(), skip)

    def infos(self) -> dict[str, Tensor]:
        """The last round's numeric facts [markets, agents], zeros before an episode's first round is over."""
        zeros = torch.zeros(self.n_markets, len(agent_names(self.market)), device=self.market.device)
        return {name: self._facts.get(name, zeros) for name in self.market.report_type.INFO}

    def save(self, path: str | Path) -> None:
        """Write the whole running state: a loaded copy goes on to the bit on a CPU."""
        now = self.running()
        assert self._base is not None
        extra = {"base": self._base, "episode": self._episode} | {
            f"actions.{i}": actions for i, (_, actions) in enumerate(now.past)
        }
        extra |= {f"info.{name}": values for name, values in self.infos().items()}
        about = {"market": describe(self.market), "over": now.quotes is None}
        storage.save(path, now.state, about, extra)

    def load(self, path: str | Path) -> Float[Tensor, "markets agents dim"]:
        """Take up a saved state; ValueError for a damaged or foreign file, and nothing changes then.

        What was quoted is computed again from the state, so files stay small; of the last round only its infos are kept.
        """
        like = self.market.reset(torch.zeros(self.n_markets, dtype=torch.int64, device=self.market.device))
        state, about, extra = storage.load(path, like, self.market.device)
        if about.get("market") != describe(self.market):
            raise ValueError(
                f"{path} holds a {about.get('market')}, wanted a {describe(self.market)}. "
                "Build the market with the arguments that it was saved with."
            )
        tensors = (*tree.leaves(state).values(), *extra.values())
        if any(tensor.shape[:1] != (self.n_markets,) for tensor in tensors):
            raise ValueError(f"{path} holds {len(extra['base'])} markets, wanted {self.n_markets}.")
        past: rounds.Past = ()
        while f"actions.{len(past)}" in extra:
            past = (*past, (self.market.quote(state, past), extra[f"actions.{len(past)}"]))
        quotes = None if about["over"] else self.market.quote(state, past)
        self.now, self.report = rounds.Situation(state, past, quotes), None
        self._facts = {n.removeprefix("info."): t for n, t in extra.items() if n.startswith("info.")}
        self._base, self._episode = extra["base"], extra["episode"]
        return rounds.observe(self.market, self.now)

    def _seeds(self, seed: Any) -> Int[Tensor, "markets"]:
        try:
            seeds = [operator.index(k) for k in seed] if isinstance(seed, Sequence | np.ndarray) else self._from(seed)
        except TypeError:
            seeds = []
        if len(seeds) != self.n_markets or min(seeds) < 0 or max(seeds) >= 2**63:
            raise ValueError(f"seed is {seed!r}; wanted an integer >= 0, or {self.n_markets} of them, below 2**63.")
        return torch.tensor(seeds, dtype=torch.int64, device=self.market.device)

    def _from(self, seed: Any) -> list[int]:
        return [operator.index(seed) + k for k in range(self.n_markets)]


def describe(market: Market) -> str:
    """Kind and arguments of a market, equal for markets that may share a file; where it runs does not count."""
    config = getattr(market, "config", None)
    named = vars(config).items() if config is not None else ()
    facts = [f"{name}={plain(value)}" for name, value in named if name not in ("device", "root", "download")]
    return f"{type(market).__name__}({', '.join(facts)})"


def _episode_seeds(base: Tensor, episode: Tensor) -> Int[Tensor, "markets"]:
    """Seeds of each market's present episode; the first one's are the seeds that were given."""
    return torch.where(episode > 0, draws.fold(base, "episode", episode), base)
