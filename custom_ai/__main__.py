"""`python -m custom_ai` is the command line."""

import sys

from custom_ai.cli import main

sys.exit(main())
