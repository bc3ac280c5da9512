""" "Data Valuation and Selection in a Federated Model Marketplace", arXiv 2509.18104.

By Li, Yang, Jia and Pan.

``numbers``: what the paper and its readers report;
    ``settings``: scenarios, data sets, sizes by effort
``sellers_data``, ``training``: what mixtures are made of, and what models learn from them
``correlation``, ``scaling``, ``private``, ``selection``, ``exploits``, ``market``,
``learned_sellers``, ``many_sellers``,
``payments``: experiments
``claims``: evidence and a rule;   ``figures``: evidence and a picture

The summary of the paper proposes experiments, which stand here by these names:

    1st experiment: extrapolation from pilots against full training     ``wad_scaling``
    2nd experiment: the distributed distance against the central one    ``wad_private``
    3rd experiment: reconstruct data from what is uploaded              ``wad_private`` (its attack)
    next check: other data sets and modalities                          ``wad_correlation``
    next check: hundreds to thousands of sources                        ``wad_sellers``
"""
