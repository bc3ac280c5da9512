"""The words of verdicts."""

HOLDS, FAILS, INCONCLUSIVE, UNTESTED = "holds", "fails", "inconclusive", "not tested here"
NO_GAIN = "no gain above eps found"  # of a search that could have missed a better deviation
# of a promise whose premise the cases did not meet: it is neither kept nor broken
UNMET = "premise hardly ever true"
POSITIVE = (HOLDS, NO_GAIN)
WORDS = (HOLDS, NO_GAIN, FAILS, INCONCLUSIVE, UNMET, UNTESTED)
AS_STATED = "as stated"
