"""What every command of the command line starts with."""

import argparse
import logging
import sys


def command_parser(command: str, description: str) -> argparse.ArgumentParser:
    """Makes the parser of ``worldbench COMMAND``."""
    return argparse.ArgumentParser(
        prog=f"worldbench {command}", description=description, allow_abbrev=False
    )


def log_plainly() -> None:
    """Sends the package's messages to stderr as they are."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
