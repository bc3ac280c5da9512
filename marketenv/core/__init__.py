"""Floor 0: the parts of every market. It knows no dataset, no market and no environment."""
