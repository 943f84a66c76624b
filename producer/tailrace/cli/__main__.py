"""`python -m tailrace.cli`, for systems on which the script is not on the path."""

import sys

from tailrace.cli import main

sys.exit(main())
