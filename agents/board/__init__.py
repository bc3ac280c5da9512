"""The board: strategies and learners beside truth, by payment rule and held-out scenario."""
