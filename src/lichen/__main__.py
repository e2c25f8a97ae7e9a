"""`python -m lichen` is `lichen`."""

import sys

from lichen.cli import main

sys.exit(main())
