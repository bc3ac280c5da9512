"""``python -m marketenv`` is the command ``marketenv``."""

import sys

from marketenv.cli import main

if __name__ == "__main__":
    sys.exit(main())
