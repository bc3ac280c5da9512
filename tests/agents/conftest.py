"""The declared shapes of the agents are checked too."""

from jaxtyping import install_import_hook

install_import_hook("agents", "beartype.beartype")
