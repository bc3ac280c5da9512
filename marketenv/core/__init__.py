"""Floor 0: the words that every other floor is written in. It knows no dataset, market or
environment.
"""
