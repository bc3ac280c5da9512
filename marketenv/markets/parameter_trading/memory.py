"""What the trade keeps from round to round, and what sets agents apart beside their reports."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.axes import Parameters
from marketenv.markets.parameter_trading.config import ParameterTradingConfig


@dataclass(frozen=True)
class Options:
    """What sets agents apart beside their reports, market by market.

    sabotage:  noise on what each agent sells, in units of its parameters' root mean square
    offered:   1 for the layers that an agent offers, 0 for those that it holds back;
               coalition: whose asks are set together
    """

    sabotage: Float[Tensor, "markets agents"]
    offered: Float[Tensor, "markets agents layers"]
    coalition: Bool[Tensor, "markets agents"]

    @classmethod
    def of(
        cls, config: ParameterTradingConfig, ones: Float[Tensor, "markets agents"], layers: int
    ) -> Options:
        """The options of a config in every market; layers: how many the learner has."""
        noise = torch.tensor(config.sabotage, dtype=torch.float32, device=ones.device)
        chosen = config.offered_layers or (None,) * config.n_agents
        offered = [[layers_ is None or k in layers_ for k in range(layers)] for layers_ in chosen]
        members = [agent in config.coalition for agent in range(config.n_agents)]
        return cls(
            sabotage=ones * noise,
            offered=torch.tensor(offered, dtype=torch.float32, device=ones.device).expand(
                len(ones), -1, -1
            ),
            coalition=torch.tensor(members, device=ones.device).expand(len(ones), -1),
        )


def altered(
    offers: Float[Tensor, "markets buyers sellers params"],
    trained: Parameters,
    options: Options,
    layer_masks: Float[Tensor, "layers params"],
    keys: Int[Tensor, "markets"],
) -> Float[Tensor, "markets buyers sellers params"]:
    """Offers as the sellers' options leave them: with noise, and only the layers that are offered.

    layer_masks: which parameters each layer holds;   keys: of the round's noise
    """
    if bool((options.sabotage > 0).any()):
        noise = draws.normal(
            draws.agent_keys(keys, trained.shape[1], "sabotage"), trained.shape[-1]
        ).float()
        scale = options.sabotage[..., None] * trained.square().mean(-1, keepdim=True).sqrt()
        offers = offers + (scale * noise)[:, None]
    if bool((options.offered < 1).any()):
        offers = trained[:, :, None] + (options.offered @ layer_masks)[:, None] * (
            offers - trained[:, :, None]
        )
    return offers


@dataclass(frozen=True)
class Memory:
    """The trade's own memory.

    orders:  how the last alignment reordered the units of each pair of agents, from which the next
             one starts; -1 where there was none;
             options: of the agents
    last_paid, last_earned: money of the last round
    """

    orders: Int[Tensor, "markets pairs units"]
    options: Options
    last_paid: Float64[Tensor, "markets agents"]
    last_earned: Float64[Tensor, "markets agents"]
