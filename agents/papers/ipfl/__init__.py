"""iPFL, "Incentivizing Inclusive Contributions in Model Sharing Markets", arXiv 2505.02462.

``numbers``: what the paper's summary and earlier simulations report
``settings``: types, payments, digits of the claims, data sets of the studies
``graphs``, ``lies``, ``false_names``, ``size``: experiments without training, distances are drawn
``attackers``, ``schemes``: experiments with training
``sharing``: what experiments play;   ``runs``: what studies train on, and what they keep
``claims``, ``sharing_claims``: evidence and a rule;   ``figures``: evidence and a picture
``studies``, ``drawn_studies``: rows beside what is reported
"""
