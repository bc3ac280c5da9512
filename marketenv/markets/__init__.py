"""Floor 2: the markets. One file a paper, readable beside the paper."""
