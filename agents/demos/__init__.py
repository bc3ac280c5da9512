"""What ``scripts/demo.py`` shows, one file a market."""
