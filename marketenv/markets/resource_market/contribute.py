"""The phase in which owners contribute data and say how good they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core.floor import Floor
from marketenv.core.moves import Move
from marketenv.core.phase import Outcome, Phase, Shown
from marketenv.core.tree import STATIC
from marketenv.markets.resource_market.commit import Committed
from marketenv.markets.resource_market.conduct import soundness
from marketenv.markets.resource_market.moves import OWNER, owners_move
from marketenv.markets.resource_market.play import Play, of_others
from marketenv.markets.resource_market.post import unit_cost
from marketenv.markets.resource_market.replies import Replies, owners_replies
from marketenv.mechanisms import ratchet

FEES = "fees"


@dataclass(frozen=True)
class Contributed(Outcome):
    """What owners contribute.

    x:        share of its data that each contributes                      float64 [markets, owners]
    reported: quality that it says they have;
        true: what they have, by its conduct, which nobody else sees
    charge:   what it owes for computing, money;   conduct: numbers of the phase's names;
              identities: names that it uses
    names:    of conduct, by its numbers
    share, report: x and reported over all agents                          float64 [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("share", "report")

    x: Float64[Tensor, "markets owners"]
    reported: Float64[Tensor, "markets owners"]
    true: Float64[Tensor, "markets owners"]
    charge: Float64[Tensor, "markets owners"]
    conduct: Int[Tensor, "markets owners"]
    identities: Float64[Tensor, "markets owners"]
    share: Float64[Tensor, "markets agents"]
    report: Float64[Tensor, "markets agents"]
    names: tuple[str, ...] = field(metadata=STATIC)

    def story(self, agents: Sequence[str]) -> list[str]:
        """Everybody's contribution."""
        return [self._line(n) for n in range(self.x.shape[1])]

    def _line(self, n: int) -> str:
        x, reported, true = (float(numbers[0, n]) for numbers in (self.x, self.reported, self.true))
        names, conduct = int(self.identities[0, n]), self.names[int(self.conduct[0, n])]
        lies = [f"their true quality is {true:.3f}"] * (abs(reported - true) >= 1e-6)
        lies += [f"conduct: {conduct}"] * (conduct != self.names[0]) + [f"under {names} names"] * (
            names > 1
        )
        told = f"owner_{n} contributes {100 * x:.1f} % of its data as of quality {reported:.3f}"
        return f"{told}{'; ' + ', '.join(lies) if lies else ''}."


class Contribute(Phase):
    """Owners contribute at once, each without seeing the others.

    play:    how truthful owners solve the game;
             cost: of a unit of data, money; None: what the cheapest centre posts
    owners:  how many there are;   worth: alpha k, money;
             conduct: names of ``CONDUCTS``, the truth first
    ratchet: a contribution never falls below that of the round before
    audited: owners are paid by an audit and expect the quality that the last one found, else by
        what they report
    """

    name, outcome = "contribute", Contributed

    def __init__(
        self,
        play: Play,
        cost: float | None,
        owners: int,
        worth: float,
        conduct: Sequence[str],
        ratchet: bool,
        audited: bool,
        name: str = "contribute",
    ) -> None:
        self.name, self.play, self.cost, self.conduct = name, play, cost, tuple(conduct)
        self.ratchet, self.audited = ratchet, audited
        self.moves = {OWNER: owners_move(owners - 1, worth, conduct, play.identities)}

    def show(self, floor: Floor, own: Any, quotes: Any) -> Shown:
        """The payment, one's own data, and what is known of the others."""
        return self._shown(floor, floor.of(Committed).eta, unit_cost(floor, self.cost))

    def show_end(self, floor: Floor, own: Any) -> Shown:
        """The same after the last round, without a payment."""
        nothing = floor.played.new_zeros(len(floor.seeds))
        return self._shown(floor, nothing, nothing + (self.cost or 0.0))

    def _shown(
        self, floor: Floor, eta: Float64[Tensor, "markets"], cost: Float64[Tensor, "markets"]
    ) -> Shown:
        types = floor.types[OWNER]
        names = {
            "quality": "standing",
            "identities": "identities",
            "cap": "cap",
            "last_share": "last_share",
        }
        each = {"eta": eta, "unit_cost": cost, "round": floor.played}
        return {
            OWNER: (
                {name: of_others(types[kind]) for name, kind in names.items()}
                | {name: value[:, None].expand_as(types["cap"]) for name, value in each.items()}
                | {"own_quality": types["quality"], "own_standing": types["standing"]}
                | {"own_cap": types["cap"], "money": floor.purse(OWNER)}
            )
        }

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Contribute what the equilibrium says for the quality that one expects to be paid by,
        honestly and under one name.
        """
        seen = {
            name: value.double() for name, value in move.observation.unpack(observation).items()
        }
        share = (self.solved(seen)[:, :1] / seen["own_cap"].clamp(min=1e-300)).clamp(max=1.0)
        more = {"identities": 0.0} if "identities" in move.action.slices else {}
        return move.write(
            observation, share=share, report=seen["own_quality"], conduct=self.conduct[0], **more
        )

    def solved(
        self, seen: Mapping[str, Tensor], identities: int = 1
    ) -> Float64[Tensor, "markets owners"]:
        """The equilibrium's x of all owners by what one of them sees; it stands first and
        contributes under so many names.
        """
        own = seen["own_standing" if self.audited else "own_quality"]
        quality, caps = (
            torch.cat([own, seen["quality"]], 1),
            torch.cat([seen["own_cap"], seen["cap"]], 1),
        )
        names = torch.cat([torch.full_like(own, float(identities)), seen["identities"]], 1)
        return self.play.shares(
            seen["eta"][:, 0], quality, names, seen["unit_cost"][:, 0].clamp(min=1e-300), caps
        )

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Contributed]:
        """Read the contributions, as far as owners can pay for the computing, which is held."""
        types = floor.types[OWNER]
        said = {
            name: value[..., 0]
            for name, value in self.moves[OWNER].action.read(actions[OWNER]).items()
        }
        x = said["share"].clamp(min=0.0) * types["cap"]
        x = ratchet(x, types["last_share"]) if self.ratchet else x
        cost = unit_cost(floor, self.cost)[:, None]
        x = x.minimum(floor.purse(OWNER) / cost)
        charge = (cost * x).minimum(floor.purse(OWNER))
        floor = floor.pay(self.named("charge"), OWNER, FEES, torch.diag_embed(charge))
        conduct = said["conduct"].long()
        told = {"share": x, "report": said["report"]}
        return (
            floor,
            own,
            Contributed(
                x=x,
                reported=said["report"].clamp(0.0, 1.0),
                true=types["quality"] * soundness(conduct, self.conduct),
                charge=charge,
                conduct=conduct,
                names=self.conduct,
                identities=1 + said.get("identities", torch.zeros_like(x)),
                **{name: floor.everyone(**{OWNER: value}) for name, value in told.items()},
            ),
        )

    def breakpoints(
        self,
        floor: Floor,
        own: Any,
        quotes: Any,
        actions: Mapping[str, Tensor],
        who: tuple[str, int],
        fields: Sequence[str] | None,
    ) -> Replies | None:
        """Best replies of an owner that is paid by its report; None where an audit pays, or
        contributions may not fall.
        """
        if self.audited or self.ratchet:
            return None
        cost, caps = unit_cost(floor, self.cost), floor.types[OWNER]["cap"]
        return owners_replies(
            self.moves[OWNER], actions[OWNER], who[1], floor.of(Committed).eta, cost, caps, fields
        )
