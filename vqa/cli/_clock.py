"""Imported before anything else: with a clock that Python can't read, not even its own `logging` can be."""

import sys
import time

try:
    time.time()
except OverflowError:
    sys.exit("Error: this system's clock is set beyond the year 2262, which Python can't read; set it, and run again")
