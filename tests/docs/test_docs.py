"""What is written is run: every code block of README and docs, every relative link, every table
that repeats the code.
"""

import dataclasses
import json
import math
import re
import sys
import types
from tomllib import loads

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import NormalizeObservation
from markdown_pages import ROOT, blocks, cells, links, section, table
from relay_market import relay_market

import marketenv
from marketenv import make_market, make_parallel, make_vec
from marketenv.alignment import ALIGNMENTS
from marketenv.core.fields import Choice
from marketenv.core.floor import Floor
from marketenv.core.within import Within
from marketenv.data import AUGMENTATIONS, CORRUPTIONS, DATASETS, PARTITIONS
from marketenv.envs import MARKETS
from marketenv.learners import LEARNERS
from marketenv.markets import parameter_trading
from marketenv.markets.data_market import CONDUCT, SELECTIONS, DataMarketConfig
from marketenv.markets.marketplace import MarketplaceConfig
from marketenv.markets.marketplace.config import COMPUTE
from marketenv.markets.model_sharing import reports as sharing_reports
from marketenv.markets.model_sharing.schemes import SCHEMES
from marketenv.markets.model_sharing.uploads import UPLOADS
from marketenv.markets.parameter_trading import DISCLOSURES, Trade
from marketenv.markets.parameter_trading.exchanges import EXCHANGES
from marketenv.markets.parameter_trading.partners import PARTNER_RULES
from marketenv.markets.parameter_trading.weights import WEIGHTS
from marketenv.markets.reference import Auction
from marketenv.markets.resource_market import AUDITS, CONDUCTS, ResourceMarketConfig
from marketenv.mechanisms import (
    COMPUTE_FEES,
    DATA_RULES,
    GAINS,
    GRAPHS,
    MECHANISMS,
    PREFERENCES,
    PRICINGS,
    QUALITY_SCALES,
    RELEASES,
    SHARING_PAYMENTS,
    STACKELBERG_SOLVERS,
)
from marketenv.valuation import DISTANCES, FORMS, VALUATIONS

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
RUN = [page for page in PAGES if blocks(page.read_text("utf8"))]
TOP_TO_BOTTOM = [page for page in RUN if page.name != "README.md"]  # whose blocks run alone
ENVIRONMENTS = {
    name: (ROOT / "docs/environments" / f"{name.removesuffix('_v0')}.md").read_text("utf8")
    for name in MARKETS
}
TRADING, SHARING = ENVIRONMENTS["parameter_trading_v0"], ENVIRONMENTS["model_sharing_v0"]
RESOURCES = ENVIRONMENTS["resource_market_v0"]
REASONS = {
    "parameter_trading_v0": parameter_trading.REASONS,
    "model_sharing_v0": sharing_reports.REASONS,
}
WORLD = {
    "data": {*DATASETS, "linear"},
    "partition": PARTITIONS,
    "corruption": CORRUPTIONS,
    "learner": LEARNERS,
}
PARTS = {
    "parameter_trading_v0": (
        WORLD
        | {"alignment": ALIGNMENTS, "augmentation": AUGMENTATIONS}
        | {
            "alpha": WEIGHTS,
            "valuation": VALUATIONS,
            "mechanism": MECHANISMS,
            "exchange": EXCHANGES,
            "partner_rule": PARTNER_RULES,
        }
    ),
    "data_market_v0": (
        WORLD
        | {
            "estimator": FORMS,
            "selection": SELECTIONS,
            "rule": DATA_RULES,
            "release": RELEASES,
            "conduct": CONDUCT,
        }
    ),
    "model_sharing_v0": (
        WORLD
        | {
            "distance": DISTANCES,
            "gain": GAINS,
            "graph": GRAPHS,
            "payment": SHARING_PAYMENTS,
            "scheme": SCHEMES,
        }
    ),
    "resource_market_v0": (
        WORLD
        | {
            "solver": STACKELBERG_SOLVERS,
            "fees": COMPUTE_FEES,
            "preferences": PREFERENCES,
            "scale": QUALITY_SCALES,
        }
        | {"audit": AUDITS, "conduct": CONDUCTS}
    ),
    "marketplace_v0": (
        WORLD
        | {"rule": {"contest", *DATA_RULES}, "quality": {"reported", *AUDITS}}
        | {"compute": COMPUTE, "trade": {"ipfl", *MECHANISMS}}
    ),
}

# arguments under which the pages' field tables must hold: the defaults, and others that move every
# bound and size
ARGUMENTS = {
    "parameter_trading_v0": (
        {},
        {
            "n_agents": 3,
            "money_per_loss": (1.0, 4.0),
            "effort_cost": (0.0, 7.0),
            "data": "german_credit",
        },
        {"n_agents": 2, "bid_max": 9.0, "ask_max": 2.0},
        {"bid_mode": "absolute", "bid_max": 3.0},
    ),
    "model_sharing_v0": ({}, {"n_agents": 3, "effort_cost": (0.0, 7.0), "learner": None}),
    "data_market_v0": (
        {},
        {"n_sellers": 5, "cost_per_point": (0.0, 3.0), "money_per_accuracy": (1.0, 7.0)},
    ),
    "resource_market_v0": (
        {},
        {
            "n_owners": 3,
            "n_centres": 4,
            "alpha": 3.0,
            "k": 1.0,
            "lam": 2.0,
            "rho": 3.0,
            "identities": 2,
            "rank": True,
        },
        {"n_owners": 3, "n_centres": 4, "alpha": 3.0, "pricing": "posted", "escrow": False},
    ),
    "marketplace_v0": (
        {},
        {"n_developers": 3, "n_owners": 5, "n_centres": 4, "own_data": True}
        | {"money_per_loss": (1.0, 4.0), "resource_market": {"alpha": 3.0, "k": 1.0, "lam": 2.0}},
        {"compute": "posted", "n_owners": 3, "n_developers": 4},
    ),
    "reference_v0": (
        {},
        {"costs": (0.0, 3.0)},
        {"game": "first_price", "values": (1.0, 2.0), "n_buyers": 3},
        {"game": "second_price", "costs": (0.0, 9.0)},
    ),
}
CASES = [
    pytest.param(name, config, id=f"{name}-{k}")
    for name, some in ARGUMENTS.items()
    for k, config in enumerate(some)
]


def label(page):
    return str(page.relative_to(ROOT))


def test_pages_are_found():
    assert {"README.md", "docs/index.md", "docs/guides/my_own_market.md"} <= {
        label(page) for page in PAGES
    }
    # a block that is not marked as Python would never run; README and each guide show code
    assert {label(page) for page in RUN} >= {"README.md"} | {
        label(page) for page in (ROOT / "docs/guides").glob("*.md")
    }


@pytest.fixture
def page_module(monkeypatch):
    """A module for a page's names, so that classes defined there can be pickled."""
    module = types.ModuleType("page_of_docs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.mark.parametrize("page", TOP_TO_BOTTOM, ids=label)
def test_code_runs(page, page_module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # advice to users is no failure of a page
    monkeypatch.setattr(gymnasium.logger, "min_level", 100)
    found = blocks(page.read_text("utf8"))
    assert all(code.strip() for _, code in found), "an empty code block tests nothing"
    for line, code in found:
        padded = "\n" * line + code  # so that a traceback names the page's own line
        exec(compile(padded, str(page), "exec"), page_module.__dict__)


README_BLOCKS = blocks((ROOT / "README.md").read_text("utf8"))


@pytest.mark.parametrize(
    ("line", "code"), README_BLOCKS, ids=[f"line-{line}" for line, _ in README_BLOCKS]
)
def test_a_block_of_the_readme_runs_alone(line, code, page_module, tmp_path, monkeypatch):
    """Who copies one block has no other: every name in it is its own, so its imports are
    complete.
    """
    monkeypatch.chdir(tmp_path)
    # advice to users is no failure of a page
    monkeypatch.setattr(gymnasium.logger, "min_level", 100)
    assert code.strip(), "an empty code block tests nothing"
    exec(compile("\n" * line + code, "README.md", "exec"), page_module.__dict__)


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_relative_links_resolve(page):
    for target, anchor in links(page.read_text("utf8")):
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{label(page)} links to {target}, which does not exist"
        assert found.is_relative_to(ROOT), f"{label(page)} links out of the repository: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text("utf8"), re.M)
            slugs = {
                re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
            }
            assert anchor in slugs, (
                f"{label(page)} links to #{anchor}; {target} has {sorted(slugs)}"
            )


def test_index_reaches_every_page():
    reached = {
        (ROOT / "docs" / target).resolve()
        for target, _ in links((ROOT / "docs/index.md").read_text("utf8"))
    }
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - {
        ROOT / "docs/index.md"
    } <= reached


def scales(market):
    """What the bounds and sizes of a page may be written in."""
    config = market.config
    found = {"n_agents": market.people.count}
    for link in market.phases:
        phase = link.phase if isinstance(link, Within) else link
        if isinstance(phase, Auction):
            found["price_max"] = phase.price_max
        if isinstance(phase, Trade):
            found |= {
                "bid_max": phase.scales.bid_max,
                "ask_max": phase.scales.ask_max,
                "m_high": config.money_per_loss[1],
            }
    if isinstance(config, DataMarketConfig):
        found |= {"n_sellers": config.n_sellers}
        found |= {"cost_most": config.cost_per_point[1], "worth_most": config.money_per_accuracy[1]}
    if isinstance(config, ResourceMarketConfig):
        found |= {"n_owners": config.n_owners, "n_centres": config.n_centres} | game_scales(config)
    if isinstance(config, MarketplaceConfig):
        names = ("n_developers", "n_owners", "n_centres")
        found |= {name: getattr(config, name) for name in names}
        contest = next(p.inside for p in market.phases if p.inside.name == "resource_market")
        found |= game_scales(contest.market.config)
    return found | ({"cost_high": cost_high(config)} if hasattr(config, "effort_cost") else {})


def game_scales(config):
    """The bounds of the contest's money."""
    worth, unit = config.alpha * config.k, config.lam * config.rho
    return {"worth": worth, "fees_most": unit * config.n_owners}


def cost_high(config):
    """The bound of the cost of effort: next to nothing for developers without own data."""
    free = isinstance(config, MarketplaceConfig) and not config.trains
    return 1e-6 if free else config.effort_cost[1]


def of_move(page, title, move):
    """A page's section, or its part on one role in one stage where moves are unlike."""
    text, heading = section(page, title), f"`{move.name}` in `{move.stage}`"
    return section(text, heading) if f"### {heading}\n" in text else text


@pytest.mark.parametrize(("name", "config"), CASES)
def test_what_agents_see_is_that_of_the_code(name, config):
    market = make_market(name, **config)
    known = scales(market)
    for move in market.moves:
        rows = table(of_move(ENVIRONMENTS[name], "Observation", move), "Field")
        assert [row[0].strip("`") for row in rows] == [
            field.name for field in move.observation.items
        ]
        for row, field in zip(rows, move.observation.items, strict=True):
            size, low, high = (eval(text, {"__builtins__": {}}, known) for text in row[1:4])
            assert (size, low, high) == (
                field.size,
                pytest.approx(field.low),
                pytest.approx(field.high),
            ), field.name
            assert row[4], f"{field.name} has no meaning"


MORE_ACTIONS = (  # argument, its value, and the head of the table of fields that it adds or changes
    ("bid_mode", "absolute", '`bid_mode="absolute"`'),
    ("identities", 2, "With `identities=2`"),
    ("rank", True, "With `rank=True`"),
)


def kind(field):
    """What a page calls the kind of a field."""
    return type(field).__name__ + (", by tens" if getattr(field, "decades", 0.0) else "")


@pytest.mark.parametrize(("name", "config"), CASES)
def test_what_agents_do_is_that_of_the_code(name, config):
    """Field, size, kind, what the ends of the box mean, unit, and the field's own text."""
    market = make_market(name, **config)
    known = scales(market)
    for move in market.moves:
        actions = of_move(ENVIRONMENTS[name], "Actions", move)
        rows = {row[0].strip("`"): row for row in table(actions, "Field")}
        for argument, value, head in MORE_ACTIONS:
            if config.get(argument) == value and f"| {head} |" in actions:
                rows |= {row[0].strip("`"): row for row in table(actions, head)}
        assert list(rows) == [field.name for field in move.action.items]
        for row, field in zip(rows.values(), move.action.items, strict=True):
            size = eval(row[1], {"__builtins__": {}}, known)
            assert [size, row[2], *row[5:]] == [
                field.size,
                kind(field),
                field.unit,
                field.text,
            ], field.name
            if isinstance(field, Choice):
                assert [row[3].strip("`"), row[4].strip("`")] == [
                    field.options[0],
                    field.options[-1],
                ]
            else:
                assert [
                    eval(text, {"__builtins__": {}}, known) for text in row[3:5]
                ] == pytest.approx(field.range), field.name
            assert (field.low, field.high) == (-1, 1)  # as every page says above the table


@pytest.mark.parametrize("name", MARKETS)
def test_arguments_are_those_of_the_code(name):
    rows = table(section(ENVIRONMENTS[name], "Arguments"), "Argument")
    fields = {
        f.name: f.default_factory() if f.default is dataclasses.MISSING else f.default
        for f in dataclasses.fields(MARKETS[name].config)
    }
    # the doors' own, see make_parallel
    wanted = fields | {"render_mode": None, "action_levels": None}
    found = {
        row[0].strip("`"): eval(row[1].strip("`"), {"__builtins__": {}, "inf": math.inf})
        for row in rows
    }
    assert found == wanted
    assert len(rows) == len(found) and all(row[2] for row in rows)


@pytest.mark.parametrize("name", MARKETS)
def test_head_table_is_that_of_the_code(name):
    env = make_parallel(name)
    head = {row[0]: row[1] for row in cells(ENVIRONMENTS[name])[:9] if len(row) == 2}
    assert head["Import"] == f"`from marketenv import {name}`"
    shapes = [("State shape", env.state_space)]
    for agent in (role.agents[0] for role in env.unwrapped.market.roles):  # roles may be unlike
        shapes += [
            ("Action shape", env.action_space(agent)),
            ("Observation shape", env.observation_space(agent)),
        ]
    for key, space in shapes:
        assert f"({space.shape[0]},)" in head[key], f"{key} is {space.shape}"


@pytest.mark.parametrize("name", MARKETS)
def test_infos_are_those_of_the_code(name):
    keys = [row[0].strip("`") for row in table(section(ENVIRONMENTS[name], "Infos"), "Key")]
    env = make_parallel(name)
    _, infos = env.reset(seed=0)
    assert keys == list(infos[env.agents[0]])


@pytest.mark.parametrize("name", REASONS)
def test_reasons_are_those_of_the_code(name):
    rows = table(section(ENVIRONMENTS[name], "Infos"), "Reason")
    assert {int(code): text for code, text in rows} == REASONS[name]


def test_uploads_are_those_of_the_code():
    rows = table(section(SHARING, "Uploads"), "Upload")
    assert [(name.strip("`"), text) for name, text in rows] == [
        (name, upload.text) for name, upload in UPLOADS.items()
    ]


def test_schemes_are_those_of_the_code():
    assert [row[0].strip("`") for row in table(section(SHARING, "Schemes"), "Scheme")] == list(
        SCHEMES
    )


def test_disclosures_are_those_of_the_code():
    rows = table(section(TRADING, "Observation"), "`disclosure`")
    assert {name for row in rows for name in re.findall(r"^`(\w+)`", row[0])} == set(DISCLOSURES)


@pytest.mark.parametrize("name", PARTS)
def test_parts_are_those_of_the_code(name):
    rows = table(section(ENVIRONMENTS[name], "Parts"), "Argument")
    found = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in rows}
    assert found == {k: set(v) for k, v in PARTS[name].items()}


RESOURCE_PARTS = {
    "Solver": STACKELBERG_SOLVERS,
    "Fees": COMPUTE_FEES,
    "Preferences": PREFERENCES,
    "Scale": QUALITY_SCALES,
}
RESOURCE_PARTS |= {"Pricing": PRICINGS, "Audit": AUDITS, "Conduct": CONDUCTS}


@pytest.mark.parametrize("head", RESOURCE_PARTS)
def test_every_part_of_the_resource_market_is_explained(head):
    rows = table(RESOURCES, head)
    assert [row[0].strip("`") for row in rows] == list(RESOURCE_PARTS[head]) and all(
        row[1] for row in rows
    )


def test_what_is_sound_of_a_conduct_is_that_of_the_code():
    rows = table(RESOURCES, "Conduct")
    assert {row[0].strip("`"): eval(row[2]) for row in rows} == {
        name: conduct.sound for name, conduct in CONDUCTS.items()
    }


def test_corruptions_and_their_kinds_are_those_of_the_code():
    rows = table(
        section((ROOT / "docs/guides/my_own_data.md").read_text("utf8"), "Bad data"), "Corruption"
    )
    found = {row[0].strip("`"): tuple(re.findall(r"`(\w+)`", row[3])) for row in rows}
    assert found == {name: rule.kinds for name, rule in CORRUPTIONS.items()}


def test_autoreset_modes_are_those_of_gymnasium_and_its_wrapper_takes_what_the_table_says():
    rows = table(
        section(
            (ROOT / "docs/guides/training_agents.md").read_text("utf8"), "A vector environment"
        ),
        "`autoreset_mode`",
    )
    modes = [re.match(r'`"(\w+)"`', row[0])[1] for row in rows]
    assert sorted(modes) == sorted(mode.name for mode in AutoresetMode) and "default" in rows[0][0]
    assert make_vec("reference_v0", 1).metadata["autoreset_mode"].name == modes[0]
    for mode, row in zip(modes, rows, strict=True):
        venv = make_vec("reference_v0", 1, autoreset_mode=mode)
        if row[2] == "takes it":
            assert NormalizeObservation(venv).reset(seed=0)[0].shape == (1, 3)
        else:
            assert row[2] == "refuses it"
            with pytest.raises(ValueError, match="autoreset_mode"):
                NormalizeObservation(venv)


def test_what_the_floor_offers_is_all_that_it_has():
    page = section(
        (ROOT / "docs/guides/my_own_market.md").read_text("utf8"), "What the floor offers"
    )
    listed = [name for row in table(page, "name") for name in re.findall(r"`(\w+)", row[0])]
    beneath = re.findall(r"`(\w+)`", page.split("The floor also has")[1].split(". ")[0])
    offered = {
        name for name in (*vars(Floor), *Floor.__dataclass_fields__) if not name.startswith("_")
    }
    assert sorted(listed + beneath) == sorted(offered)


def test_recipes_pass_over_the_stages_that_end_no_round():
    """``rounds.play`` gives None there, and a reader will take a recipe to a market of several
    stages.
    """
    loops = [
        line
        for page in PAGES
        for _, code in blocks(page.read_text("utf8"))
        for line in code.splitlines()
    ]
    loops = [line for line in loops if re.search(r"for (_, _|\*_), report in", line)]
    assert len(loops) >= 4 and all("if report is not None" in line for line in loops), loops


def test_the_recipe_that_saves_episodes_holds_in_a_market_of_several_stages(tmp_path, monkeypatch):
    """The block as it stands, with the relay market of three stages in place of its own."""
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(
        section((ROOT / "docs/guides/training_agents.md").read_text("utf8"), "Save episodes")
    )
    own = 'marketenv.make_market("parameter_trading_v0", n_agents=2, max_cycles=2)'
    assert own in code[1] and '["trade"]["trader"]' in code[1]
    recipe = (
        code[1]
        .replace(own, "relay_market(horizon=2)")
        .replace('["trade"]["trader"]', '["ship"]["seller"]')
    )
    names = {"relay_market": relay_market}
    exec("import marketenv\n" + recipe, names)
    # rounds, markets, agents
    assert len(names["lines"]) == 2 * 3 and names["episodes"].rewards.shape == (2, 3, 3)


def test_utility_is_the_reward_in_words_and_the_papers_u_in_the_infos_of_model_sharing():
    """The two differ by the cost of effort, as the page says in so many words."""
    cost = 0.5
    env = make_parallel(
        "model_sharing_v0", n_agents=3, learner=None, effort_cost=(cost, cost), render_mode="ansi"
    )
    env.reset(seed=0)
    ones = {agent: np.ones(env.action_space(agent).shape, np.float32) for agent in env.agents}
    _, rewards, _, _, infos = env.step(ones)
    for agent, told in infos.items():
        assert told["effort"] > 0 and rewards[agent] == pytest.approx(
            told["utility"] - cost * told["effort"]
        )
    shown = re.findall(
        r"(-?\d+\.\d+)",
        next(line for line in env.render().splitlines() if line.startswith("Utility")),
    )
    assert [float(number) for number in shown] == pytest.approx(list(rewards.values()), abs=1e-2)
    assert '"Utility" in the words and pictures of a round is the reward' in " ".join(
        SHARING.split()
    )
    (meant,) = [
        row[1]
        for row in table((ROOT / "docs/glossary.md").read_text("utf8"), "Term")
        if row[0] == "utility"
    ]
    assert "only in the infos of the model-sharing market the paper's U" in meant


def test_stress_testing_claims_a_bound_only_where_hindsight_is_exact():
    page = " ".join((ROOT / "docs/guides/stress_testing.md").read_text("utf8").split())
    assert (
        "Where it is exact, it bounds what any could gain in that round and stage; where it is not,"
        " it bounds nothing." in page
    )
    assert "serve the shipped markets only" in page


def test_readme_lists_every_environment():
    rows = table(section((ROOT / "README.md").read_text("utf8"), "Environments"), "Name")
    assert {re.search(r"`(\w+)`", row[0])[1] for row in rows} == set(MARKETS)
    for name, page in ENVIRONMENTS.items():
        assert f"* {name.split('_')[-1]}: " in section(page, "Version history")


def test_readme_shows_verdicts_as_they_are_kept():
    """Words, intervals, sample sizes, budgets and the number of claims."""
    readme = (ROOT / "README.md").read_text("utf8")
    kept = json.loads((ROOT / "docs/papers/verdicts.json").read_text("utf8"))
    rows = table(section(readme, "Trade helps, and lies pay"), "claim")
    assert len(rows) == 2
    for words, verdict, number, command in rows:
        (claim,) = re.findall(r"--claims (\S+?)`", command)
        one = kept[claim]
        assert words == one["words"]
        decided = one["verdict"].rpartition("; ")[2]
        assert verdict == decided.replace("holds under: ", "holds on the ")
        # of several statistics the one that decides stands in the file
        measured = re.search(r"(\S+ \[.+?\]) (.+?), (\d+ samples)", one["found"])
        shown = re.search(r"([\d.]+ \[.+?\]) (.+?), (\d+ samples)", number)
        assert shown.groups() == measured.groups()
        assert ("--budget quick" in command) == (one["budget"] == "quick")
    assert f"{len(kept)} in all" in readme


def test_readme_is_short_and_its_picture_small():
    readme = (ROOT / "README.md").read_text("utf8")
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", readme)
    assert (ROOT / picture).stat().st_size < 150_000
    assert len(readme.splitlines()) <= 150


def test_readme_commands_exist():
    rules = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf8"), re.M)
    for page in PAGES:
        assert set(
            re.findall(r"\bmake ([a-z]+)\b(?=`|    |\s*#|\))", page.read_text("utf8"))
        ) <= set(rules), label(page)


def test_glossary_has_one_meaning_for_each_term():
    terms = [
        term
        for row in table((ROOT / "docs/glossary.md").read_text("utf8"), "Term")
        for term in row[0].split(", ")
    ]
    assert [t for t in terms if terms.count(t) > 1] == []
    needed = (
        "bid ask price payment transfer value utility report type allocation gain-from-trade effort"
        " disclosure"
    )
    shared = "lambda hurdle threshold relay need upload scheme"
    assert {*needed.split(), *shared.split(), "round", "stage", "market", "batch"} <= set(terms)


def test_citation_file():
    # YAML is no dependency of the project, so this reads only what the file needs: top-level keys
    # and the references' titles
    text = (ROOT / "CITATION.cff").read_text("utf8")
    assert "\t" not in text and text.count('"') % 2 == 0
    keys = re.findall(r"^([a-z-]+):", text, re.M)
    assert len(keys) == len(set(keys)) and {
        "cff-version",
        "message",
        "title",
        "authors",
        "version",
        "license",
    } <= set(keys)
    top = dict(re.findall(r"^([a-z-]+): (.+)$", text, re.M))
    project = loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]
    assert top["version"] == marketenv.__version__ == project["version"]
    assert top["license"] == project["license"]
    assert f'name: "{project["authors"][0]["name"]}"' in text
    references = text.split("references:")[1]
    assert references.count("  - type:") == references.count("    title:") == 4  # the four papers
    assert all(
        name in references
        for name in (
            "Huang",
            "Vishwakarma",
            "Sala",
            "2501.14588",
            "2509.18104",
            "s41467-025-62959-5",
        )
    )


def test_changelog_has_the_version():
    assert f"## [{marketenv.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf8")


def test_pages_name_no_package_host():
    for page in PAGES:
        hosts = re.findall(r"https?://([^/\s)>]+)", page.read_text("utf8"))
        assert set(hosts) <= {"keepachangelog.com"}, label(page)


def test_links_and_tables_are_read():
    """The readers of this file, on a page small enough to check by eye."""
    page = (
        "# A\n| x | y |\n|---|---|\n| `1` | a \\| b |\n\n## B\n[t](u.md#v)"
        " `[no](code)`\n```python\n[k](l)\n```\n"
    )
    assert table(page, "x") == [["`1`", "a | b"]] and section(page, "B").startswith("[t]")
    assert links(page) == [("u.md", "v")] and [code for _, code in blocks(page)] == ["[k](l)\n"]
