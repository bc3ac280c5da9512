"""QD-RDFL, "Data Assetization via Resources-decoupled Federated Learning", arXiv 2501.14588.

``numbers``: what the paper, its public code and its readers report;
    ``settings``: terms of the game, qualities, sizes by effort
``equilibrium``, ``dynamics``, ``utilities``, ``sweeps``, ``misreports``, ``agreements``,
    ``preferences``: experiments with the game alone
``market``: play in ``resource_market_v0``;
    ``audits``, ``commitment``, ``accuracy``: experiments with it
``claims``, ``market_claims``: evidence and a rule;   ``figures``: evidence and a picture

The paper's body was not at hand. Its utilities are those of the authors' public code, its
equilibrium was derived here (docs/theory/resource_market.md).
"""
