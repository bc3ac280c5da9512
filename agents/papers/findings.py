"""The findings of the documentation, each written for the verdicts that it names.

A slot in a sentence, {name.part}, is filled from the kept verdicts: see ``core.headlines``.
"""

from __future__ import annotations

from .core.headlines import Headline

# the pages that say more
TRADE_PAGE = "[Train 'n Trade, reproduced](papers/train_n_trade.md)"
IPFL_PAGE = "[iPFL, put to the test](papers/ipfl.md)"
DATA_PAGE = "[data valuation, put to the test](papers/data_valuation.md)"
RESOURCES_PAGE = (
    "[resources-decoupled federated learning, put to the test](papers/resources_decoupled.md)"
)
WHOLE_PAGE = "[the whole marketplace, put to the test](papers/marketplace.md)"
UNTESTED_BUT = "not tested as stated; holds under: "
INTRO = """# Findings

What the audits of the markets and of the papers come to, in a dozen sentences. `python
scripts/verdicts.py` writes this page: every verdict and every number comes from the [verdicts that
are kept](papers/verdicts.json), and a finding whose verdict changes is not written until its words
are true again. In brackets are 95 % intervals. A verdict is about the budget, the data and the
condition that it names; what the words of verdicts mean: [auditing
claims](guides/auditing_claims.md#verdicts). Each finding ends with the commands that measure it
again and draw its picture."""

PARAMETERS = (
    Headline(
        title="Trading parameters makes both agents more accurate",
        text=(
            "Under the condition “{trade.condition}” two agents that trade aligned parameters end"
            " more accurate than out of the market. The difference ({trade.stated.name}) is"
            " {trade.stated.gain}. Without alignment of the networks it is smaller: the difference"
            " ({align.stated.name}) is {align.stated.gain}. The picture shows the same comparison"
            " on MNIST, a setting that the claims do not test."
        ),
        claims={
            "trade": ("train_n_trade/trade_helps", f"{UNTESTED_BUT}embedded digits"),
            "align": ("train_n_trade/alignment_helps", f"{UNTESTED_BUT}embedded digits"),
        },
        page=TRADE_PAGE,
        studies=("table1",),
    ),
    Headline(
        title="A price between bid and ask rewards false bids; a posted price does not",
        text=(
            "In the parameter market the price lies between the bid and the ask. A buyer that bids"
            " another sum than its worth can gain: the {bids.stated.name} is {bids.stated.gain}."
            " The claim that truth is best holds under the condition “{bids.condition}”, where the"
            " regret is {bids.under.number}."
        ),
        claims={
            "bids": (
                "train_n_trade/truthful_bids",
                "fails as stated; holds under: posted price, the other trader asks by Myerson's"
                " rule, one round",
            ),
        },
        page=TRADE_PAGE,
    ),
)
SHARING = (
    Headline(
        title="iPFL pays for a cost that is reported too low; critical payments do not",
        text=(
            "A client that reports a cost below its own gains {cost.stated.gain} in a round where"
            " all others are truthful. Under the condition “{cost.condition}” a search finds no"
            " gain: its best deviation changes utility by {cost.under.number}."
        ),
        claims={
            "cost": (
                "ipfl/cost_not_understated",
                "fails as stated; no gain above eps found under: sellers are paid their critical"
                " value",
            ),
        },
        page=IPFL_PAGE,
    ),
    Headline(
        title="iPFL believes how much data a client reports, and no tested payment repairs it",
        text=(
            "A false size of the data earns a client {size.stated.gain} above truth. With every"
            " move open to it, a client gains {all.stated.gain}. The truthful pay for such lies:"
            " where all others report three times their data, a truthful client loses up to"
            " {loss.stated.most}. None of these claims holds under another payment that is tested."
        ),
        claims={
            "size": ("ipfl/truthful_sizes", "fails"),
            "all": ("ipfl/truth_against_all", "fails"),
            "loss": ("ipfl/individual_rationality_under_false_sizes", "fails"),
        },
        page=IPFL_PAGE,
    ),
)
DATA = (
    Headline(
        title="The distance of a whole mixture predicts accuracy",
        text=(
            "With label skew, the nearer a mixture of sellers' data lies to the buyer's data, the"
            " more accurate the model: the correlation is {near.stated.bare}. A distance that sees"
            " every seller alone correlates less: the difference is {alone.stated.bare}."
        ),
        claims={
            "near": ("data_valuation/combine_wad_label_skew", f"{UNTESTED_BUT}embedded digits"),
            "alone": (
                "data_valuation/agg_wad_is_worse_label_skew",
                f"{UNTESTED_BUT}embedded digits",
            ),
        },
        page=DATA_PAGE,
        studies=("wad_correlation",),
    ),
    Headline(
        title="The hidden distance keeps the order of mixtures, but does not hide the rows",
        text=(
            "Uploads of TriangleWad still tell good mixtures from bad ones: the correlation is"
            " {order.stated.bare}. But from a seller's upload {rows.stated.gain} can be found"
            " again. Other spreads of the reference, which are tested too, do not repair it."
        ),
        claims={
            "order": ("data_valuation/triangle_wad_keeps_order", "holds"),
            "rows": ("data_valuation/triangle_wad_hides_rows", "fails"),
        },
        page=DATA_PAGE,
        studies=("wad_private",),
    ),
    Headline(
        title="Renamed classes are paid in full; named labels and audits repair it",
        text=(
            "A seller that renames its classes loses {paid.stated.most} of its payment, though its"
            " data spoil the model. A common vocabulary of labels sees the change: the distance"
            " grows by {seen.stated.gain}. In the market, sellers that harm the buyer are paid too"
            " much without a guard; under the condition “{harm.condition}” (named labels, an audit"
            " of every delivery, a part of the price held back) each earns less than nine tenths of"
            " what truth earns."
        ),
        claims={
            "paid": ("data_valuation/renaming_is_paid_in_full", "holds"),
            "seen": ("data_valuation/vocabulary_sees_renaming", "holds"),
            "harm": (
                "data_valuation/harm_pays_less_in_the_market",
                "fails as stated; holds under: all three",
            ),
        },
        page=DATA_PAGE,
        studies=("wad_exploits",),
    ),
)
RESOURCES = (
    Headline(
        title="The resource market has one equilibrium, and it pays the leader",
        text=(
            "Best answers reach the same equilibrium from every start: the greatest distance is"
            " {one.stated.most} (alpha k is the largest payment). There the leader earns"
            " {leader.stated.gain} more than by a fixed payment, with 10 to 60 owners. With two or"
            " three owners the mean owner earns {few.stated.loss} less than under the fixed"
            " payment."
        ),
        claims={
            "one": ("resources_decoupled/one_equilibrium", "holds"),
            "leader": (
                "resources_decoupled/leader_above_fixed",
                f"{UNTESTED_BUT}digits, size skew",
            ),
            "few": (
                "resources_decoupled/few_owners_above_fixed",
                "not tested as stated; fails under: digits, size skew, 2 and 3 owners",
            ),
        },
        page=RESOURCES_PAGE,
        studies=("rdfl_utilities",),
    ),
    Headline(
        title="The authors' audit pays for bad data; an audit on the leader's own rows does not",
        text=(
            "Under the audit of the paper's authors, the fall of the training loss per row, bad"
            " data are not paid less than honest data: the conduct `{drop.stated.name}` earns"
            " {drop.stated.loss} more than nine tenths of an honest owner's utility. Where the fall"
            " of the leader's own loss sets the pay, every conduct that is tested earns less than"
            " that, `{own.stated.name}` by {own.stated.gain}."
        ),
        claims={
            "drop": ("resources_decoupled/worse_data_earn_less_loss_drop", "fails"),
            "own": ("resources_decoupled/worse_data_earn_less_heldout", "holds"),
        },
        page=RESOURCES_PAGE,
        studies=("rdfl_audit_gaming",),
    ),
)
WHOLE = (
    Headline(
        title="A promise to pay is broken unless the money is held from the start",
        text=(
            "In the resource market a leader that pays nothing in the end gains up to"
            " {word.stated.most}; under the condition “{word.condition}” it gains at most"
            " {word.under.most}. In the whole marketplace, without an escrow, a developer"
            " that pays nothing gains {pays.stated.gain}."
        ),
        claims={
            "word": (
                "resources_decoupled/word_is_kept",
                "fails as stated; holds under: the payment is held from the start",
            ),
            "pays": (
                "marketplace/reneging",
                "fails as stated; no gain above eps found under: the payment is held",
            ),
        },
        page=WHOLE_PAGE,
    ),
    Headline(
        title="In the whole marketplace an audit of distances closes the gain of false reports",
        text=(
            "Paid by its report, an owner that reports the best quality gains"
            " {report.stated.gain}. Paid by the Wasserstein distance, the same report changes its"
            " utility by {audit.stated.number}, and an owner that delivers noise earns"
            " {noise.stated.gain} less than by truth."
        ),
        claims={
            "report": ("marketplace/report_over_report", "fails"),
            "audit": ("marketplace/audit_over_report", "no gain above eps found"),
            "noise": ("marketplace/audit_junk", "holds"),
        },
        page=WHOLE_PAGE,
    ),
    Headline(
        title="Where data are paid by contest, each market adds welfare",
        text=(
            "Under the condition “{data.condition}” a market of data adds {data.stated.gain} to"
            " what everybody earns together, a market of computing {work.stated.gain} more, and a"
            " market of parameters {parameters.stated.gain} more. Truthful agents reach"
            " {planner.stated.gain}; the planner pools all data and chooses one share for all."
        ),
        claims={
            "data": ("marketplace/ladder_data", f"{UNTESTED_BUT}contest on digits"),
            "work": ("marketplace/ladder_work", f"{UNTESTED_BUT}contest on digits"),
            "parameters": ("marketplace/ladder_parameters", f"{UNTESTED_BUT}contest on digits"),
            "planner": ("marketplace/ladder_planner", f"{UNTESTED_BUT}contest on digits"),
        },
        page=WHOLE_PAGE,
        studies=("marketplace_ladder",),
    ),
)
FINDINGS = (*PARAMETERS, *SHARING, *DATA, *RESOURCES, *WHOLE)
