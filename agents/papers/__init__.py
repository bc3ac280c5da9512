"""A folder a paper: its numbers, settings, experiments, claims and figures, each once.

Experiments give evidence and no verdict; a claim is evidence and a rule, a study evidence and a
picture.
"""

# The table of claims names the papers' claims, and these stand on the claims' own parts: whoever
# comes first, the table is made first.
import agents.stress.claims  # noqa: F401
