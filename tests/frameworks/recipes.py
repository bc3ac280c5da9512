"""What the recipes share: the markets, the frameworks' imports, and the page whose code they
run.
"""

import importlib
import os
import re
import warnings
from pathlib import Path

import pytest
from relay_market import relay_market

from marketenv import marketplace_v0, model_sharing_v0, parameter_trading_v0, reference_v0
from marketenv.envs import MarketParallelEnv
from marketenv.envs import aec as make_aec

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/guides/frameworks.md"


class Relay:
    """The tests' market of three stages and three unlike roles as a module: one round of it
    takes three steps.
    """

    @staticmethod
    def parallel_env(horizon="end", action_levels=None):
        return MarketParallelEnv(
            relay_market(1, carriers=1, cut=horizon == "cut"), "relay_v0", None, action_levels
        )

    @classmethod
    def env(cls, **config):
        return make_aec(cls.parallel_env(**config))


# one market with two roles, two with a role that all agents share
MARKETS = {
    "reference_v0": (reference_v0, {"game": "double_auction", "max_cycles": 3}),
    "parameter_trading_v0": (parameter_trading_v0, {"n_agents": 2, "max_cycles": 3}),
    "model_sharing_v0": (model_sharing_v0, {"n_agents": 3, "max_cycles": 3, "learner": None}),
}
# one round of commit, contribute and trade takes three steps; developers move in two of them
MARKETPLACE = {
    "max_cycles": 1,
    "n_owners": 2,
    "compute": None,
    "data_options": {"max_examples": 60},
    "learner_options": {"hidden": (4,)},
}
WHOLE = {"marketplace_v0": (marketplace_v0, MARKETPLACE)}
# for frameworks that take any environment, of any roles
STAGED = MARKETS | WHOLE | {"relay": (Relay, {})}
# terminated, truncated after the last of three rounds
HORIZONS = {"end": (True, False), "cut": (False, True)}
# frameworks warn of their own and each other's old names; ours stay errors
RELAXED = [pytest.mark.filterwarnings("ignore"), pytest.mark.filterwarnings("error:::marketenv")]


def need(extra, module):
    """Import a framework quietly: where it is absent the tests are skipped, in its own virtual
    environment they fail.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if os.environ.get("MARKETENV_FRAMEWORK") == extra:
            return importlib.import_module(module)
        return pytest.importorskip(
            module, reason=f"no {module}: run `make test-{extra}`", exc_type=ImportError
        )


def parallel(name, **more):
    module, config = STAGED[name]
    return module.parallel_env(**(config | more))


def aec(name, **more):
    module, config = STAGED[name]
    return module.env(**(config | more))


def role(agent):
    """``buyer_0`` plays the role ``buyer``."""
    return agent.rsplit("_", 1)[0]


def page_code(title, language="py"):
    """Code of a section of the page, one string per block, padded so that a traceback names the
    page's own line.
    """
    text = PAGE.read_text("utf8")
    start = re.search(rf"^## {re.escape(title)}$", text, re.M)
    assert start, f"no section {title!r} in {PAGE.name}"
    end = re.compile(r"^## ", re.M).search(text, start.end())
    found = re.finditer(
        rf"^```{language}\n(.*?)^```$", text[: end.start() if end else len(text)], re.M | re.S
    )
    return [
        "\n" * text[: m.start(1)].count("\n") + m[1] for m in found if m.start() > start.start()
    ]


def run_page(title, language="py"):
    """Run a section's blocks top to bottom and return what they defined."""
    blocks = page_code(title, language)
    assert blocks and all(code.strip() for code in blocks), f"{title} shows no code"
    names = {"__name__": "page_of_docs"}
    for code in blocks:
        exec(compile(code, str(PAGE), "exec"), names)
    return names
