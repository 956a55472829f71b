"""`python -m vqa`."""

from vqa.cli import main

main()
