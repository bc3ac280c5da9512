"""Markets in which agents train, trade parameters and settle payments."""

__version__ = "0.1.0"
