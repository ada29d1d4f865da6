"""``python -m hqp`` is the command ``hqp``."""

import sys

from hqp.cli import main

if __name__ == "__main__":
    sys.exit(main())
