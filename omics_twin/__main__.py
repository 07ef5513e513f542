"""``python -m omics_twin`` is ``omics-twin``."""

import sys

from omics_twin.cli import main

if __name__ == "__main__":
    sys.exit(main())
