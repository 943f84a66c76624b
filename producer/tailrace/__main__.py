"""`python -m tailrace`, for where the script is not on the path."""

import sys

from tailrace.cli import main

sys.exit(main())
