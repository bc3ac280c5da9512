"""The phase in which owners contribute data and report its quality."""

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
from marketenv.markets.resource_market.moves import OWNER, in_float64, owners_move
from marketenv.markets.resource_market.play import Play, of_others
from marketenv.markets.resource_market.post import unit_cost
from marketenv.markets.resource_market.replies import Replies, owners_replies
from marketenv.mechanisms import ratchet

FEES = "fees"
PerOwner = Float64[Tensor, "markets owners"]


@dataclass(frozen=True)
class Contributed(Outcome):
    """What owners contribute; numbers of owners are [markets, owners].

    x:        share of an owner's data that it contributes
    reported: quality that it reports;   true: quality by its conduct, which no other agent sees
    charge:   what it owes for computing, money
    conduct:  number of its conduct in ``names``;   identities: number of names that it uses
    share, report: x and reported over all agents   [markets, agents]
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
        lies += [f"conduct: {conduct}"] * (conduct != self.names[0])
        lies += [f"under {names} names"] * (names > 1)
        text = f"owner_{n} contributes {100 * x:.1f} % of its data as of quality {reported:.3f}"
        return f"{text}{'; ' + ', '.join(lies) if lies else ''}."


class Contribute(Phase):
    """Owners contribute, all at once.

    play:    how truthful owners solve the game
    cost:    of a unit of data, money; None: the lowest posted price
    owners:  number of owners;   worth: alpha k, money
    conduct: names of ``CONDUCTS``, the truth first
    ratchet: whether a contribution never falls below that of the last round
    audited: whether owners are paid by an audit and expect the quality of the last one; else they
             are paid by their reports
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
        types, cap = floor.types[OWNER], floor.types[OWNER]["cap"]
        own = {"own_quality": types["quality"], "own_standing": types["standing"], "own_cap": cap}
        public = {name: types[name] for name in ("identities", "cap", "last_share")}
        public |= {"quality": types["standing"]}
        common = {"eta": eta, "unit_cost": cost, "round": floor.played}
        fields = own | {"money": floor.purse(OWNER)}
        fields |= {name: of_others(numbers) for name, numbers in public.items()}
        fields |= {name: number[:, None].expand_as(cap) for name, number in common.items()}
        return {OWNER: fields}

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Contribute the equilibrium's share, honestly and under one name.

        The equilibrium is that of the quality by which the owner expects to be paid.
        """
        fields = in_float64(move, observation)
        share = (self.solved(fields)[:, :1] / fields["own_cap"].clamp(min=1e-300)).clamp(max=1.0)
        answer = {"share": share, "report": fields["own_quality"]}
        one_name = {"identities": 0.0} if "identities" in move.action.slices else {}
        return move.write(observation, **answer, **one_name, conduct=self.conduct[0])

    def solved(
        self, fields: Mapping[str, Tensor], identities: int = 1
    ) -> Float64[Tensor, "markets owners"]:
        """The equilibrium's x of all owners by what one of them sees; that one stands first.

        identities: number of names under which it contributes
        """
        own = fields["own_standing" if self.audited else "own_quality"]
        quality = torch.cat([own, fields["quality"]], 1)
        caps = torch.cat([fields["own_cap"], fields["cap"]], 1)
        names = torch.cat([torch.full_like(own, float(identities)), fields["identities"]], 1)
        cost = fields["unit_cost"][:, 0].clamp(min=1e-300)
        return self.play.shares(fields["eta"][:, 0], quality, names, cost, caps)

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Contributed]:
        """Read the contributions, as far as owners can pay for computing, and hold the charges."""
        types = floor.types[OWNER]
        fields = self.moves[OWNER].action.read(actions[OWNER])
        meaning = {name: numbers[..., 0] for name, numbers in fields.items()}
        x = meaning["share"].clamp(min=0.0) * types["cap"]
        x = ratchet(x, types["last_share"]) if self.ratchet else x
        conduct = meaning["conduct"].long()
        told = {
            "reported": meaning["report"].clamp(0.0, 1.0),
            "true": types["quality"] * soundness(conduct, self.conduct),
            "conduct": conduct,
            "identities": 1 + meaning.get("identities", torch.zeros_like(x)),
            "names": self.conduct,
        }
        floor, outcome = charged(floor, self, self.cost, x, **told)
        return floor, own, outcome

    def breakpoints(
        self,
        floor: Floor,
        own: Any,
        quotes: Any,
        actions: Mapping[str, Tensor],
        who: tuple[str, int],
        fields: Sequence[str] | None,
    ) -> Replies | None:
        """Best replies of an owner; None where audits pay, or where contributions never fall."""
        if self.audited or self.ratchet:
            return None
        cost, caps = unit_cost(floor, self.cost), floor.types[OWNER]["cap"]
        move, eta = self.moves[OWNER], floor.of(Committed).eta
        return owners_replies(move, actions[OWNER], who[1], eta, cost, caps, fields)


def charged(
    floor: Floor, phase: Phase, cost: float | None, x: PerOwner, **told: Any
) -> tuple[Floor, Contributed]:
    """What owners contribute, as far as they can pay for computing; their charges are held.

    charge = cost x,   x <= purse / cost

    cost: of a unit of data, money; None: the lowest posted price
    x:    share of an owner's data;   told: the other parts of ``Contributed``
    """
    unit, purse = unit_cost(floor, cost)[:, None], floor.purse(OWNER)
    x = x.minimum(purse / unit)
    charge = (unit * x).minimum(purse)
    floor = floor.pay(phase.named("charge"), OWNER, FEES, torch.diag_embed(charge))
    share, report = (floor.everyone(**{OWNER: part}) for part in (x, told["reported"]))
    return floor, Contributed(x=x, charge=charge, share=share, report=report, **told)
