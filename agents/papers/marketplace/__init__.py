"""The whole marketplace: questions of ours, as no paper has one.

``settings``: the marketplaces that are played, and how many
``deviations``: what one agent gains by playing something else, by lie and by repair
``ladder``: who gains what by each market that is added;   ``learned``: what PPO gains over truth
``claims``: evidence and a rule;   ``figures``: evidence and a picture;   ``studies``: the ladder
"""
