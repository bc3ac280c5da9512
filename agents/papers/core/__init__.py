"""What works for any paper.

``effort``: how much an experiment may spend;   ``evidence``, ``samples``: what it measures
``rules``, ``claim``, ``verdict``, ``words``: a claim is evidence and a rule, which give a verdict
``truthfulness``, ``lines``, ``search``: claims that no deviation gains, for any market
``rationality``, ``money``, ``played``: claims that taking part pays and that money adds up
``units``, ``crew``: work that survives a kill, and the processes that do it
``study``, ``rows``, ``reported``: a study is evidence and a picture, beside what a paper reports
``audit``, ``audited``: all claims of a table, tested
``verdict_tables``, ``headlines``: in the documentation;   ``audit_contents``: legend and filters
``audit_page``, ``studies_page``, ``pictures``, ``shown``: all of it on pages
"""
