"""A walk through one round: the words, the code that ran, and its formulas, as a page of the docs.

``trace``: which functions run, in the order of their first calls
``shown``: which of them are shown, and what their docstrings say
``page``:  the page
"""
