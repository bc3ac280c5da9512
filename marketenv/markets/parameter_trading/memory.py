"""The trade's memory from round to round, and the options of its agents."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.axes import Parameters
from marketenv.markets.parameter_trading.config import ParameterTradingConfig
from marketenv.markets.parameter_trading.partners import Partners, Past


@dataclass(frozen=True)
class Options:
    """Options of agents, market by market.

    sabotage:  noise on what each agent sells, in units of its parameters' root mean square
    offered:   1 for the layers that an agent offers, 0 for the others
    coalition: whether the agent's ask is set together with those of the other members
    """

    sabotage: Float[Tensor, "markets agents"]
    offered: Float[Tensor, "markets agents layers"]
    coalition: Bool[Tensor, "markets agents"]

    @property
    def change_offers(self) -> Bool[Tensor, "markets agents"]:
        """Whose offers are not their aligned models: with noise, or without some layers."""
        return (self.sabotage > 0) | (self.offered < 1).any(-1)

    @classmethod
    def of(
        cls, config: ParameterTradingConfig, ones: Float[Tensor, "markets agents"], layers: int
    ) -> Options:
        """The options of a config in every market; layers: number of the learner's layers."""
        noise = torch.tensor(config.sabotage, dtype=torch.float32, device=ones.device)
        choices = config.offered_layers or (None,) * config.n_agents
        rows = [[some is None or k in some for k in range(layers)] for some in choices]
        offered = torch.tensor(rows, dtype=torch.float32, device=ones.device)
        members = [agent in config.coalition for agent in range(config.n_agents)]
        return cls(
            sabotage=ones * noise,
            offered=offered.expand(len(ones), -1, -1),
            coalition=torch.tensor(members, device=ones.device).expand(len(ones), -1),
        )


def altered(
    offers: Float[Tensor, "markets buyers sellers params"],
    trained: Parameters,
    options: Options,
    layer_masks: Float[Tensor, "layers params"],
    keys: Int[Tensor, "markets"],
    partners: Partners,
) -> Float[Tensor, "markets buyers sellers params"]:
    """Offers by the sellers' options: with noise, and of the offered layers alone.

    layer_masks: which parameters each layer has;   keys: of the round's noise
    partners:    whose offers these are
    """
    if bool((options.sabotage > 0).any()):
        agents = draws.agent_keys(keys, trained.shape[1], "sabotage")
        noise = draws.normal(agents, trained.shape[-1]).float()
        scale = options.sabotage[..., None] * trained.square().mean(-1, keepdim=True).sqrt()
        offers = offers + partners.theirs(scale * noise)
    if bool((options.offered < 1).any()):
        own, mask = trained[:, :, None], partners.theirs(options.offered @ layer_masks)
        offers = own + mask * (offers - own)
    return offers


@dataclass(frozen=True)
class Memory:
    """The trade's own memory.

    orders:  of the units of each pair of agents in the last alignment, where the next one starts;
             -1 where there was none
    options: of the agents
    last_paid, last_received: money of the last round
    past:    of partners, where buyers try a few sellers; orders are then those of the last round's
             partners, buyer by buyer   [markets, buyers x places, units]
    """

    orders: Int[Tensor, "markets pairs units"]
    options: Options
    last_paid: Float64[Tensor, "markets agents"]
    last_received: Float64[Tensor, "markets agents"]
    past: Past | None = None
