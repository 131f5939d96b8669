"""`python -m devtools.campaign`: one campaign; `python -m devtools.campaign --control`: with planted bugs."""

import sys

from rich.console import Console

from devtools.campaign.config import from_environment
from devtools.campaign.mutation_control import BUGS, control
from devtools.campaign.report import show
from devtools.campaign.run import run


def main(arguments: list[str]) -> int:
    """0 only if everything balanced."""
    console = Console(width=120)
    if "--control" in arguments:
        bugs = [argument for argument in arguments if argument in BUGS]
        return 0 if control(console, bugs or tuple(BUGS)) else 1
    config = from_environment()
    console.print(f"seed {config.seed}, {config.transactions} transactions")
    result = run(config)
    show(result, console)
    return 0 if result.clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
