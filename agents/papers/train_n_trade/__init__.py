"""Huang, Vishwakarma, Sala, "Train 'n Trade: Foundations of Parameter Markets", NeurIPS 2023.

``numbers``: what the paper, its readers and an earlier program of ours report
``settings``, ``images``: networks and data of tables 1 and 2;   ``methods``: how two agents get on
``accuracy``, ``runs``, ``barriers``: experiments with networks
``linear_market``, ``episodes``: two linear agents
``linear_experiments``, ``related_tasks``: figures 3 to 5
``theorem_41``, ``theorem_51``, ``descent``, ``bargaining``, ``asks``: theorems and prices
``claims``, ``linear_claims``, ``theorem_claims``, ``trader_claims``: evidence and a rule
``network_figures``, ``linear_figures``, ``theorem_figures``: evidence and a picture
"""
