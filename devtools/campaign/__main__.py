"""Run a fault campaign, or with `--control` the control with planted bugs."""

import sys

from rich.console import Console

from devtools.campaign.config import from_environment
from devtools.campaign.mutation_control import BUGS, run_control
from devtools.campaign.report import print_report
from devtools.campaign.run import run


def main(arguments: list[str]) -> int:
    """Return 0 if there is no violation, or if the control found every planted bug."""
    console = Console(width=120)
    if "--control" in arguments:
        bugs = [argument for argument in arguments if argument in BUGS]
        return 0 if run_control(console, bugs or tuple(BUGS)) else 1
    config = from_environment()
    console.print(f"seed {config.seed}, {config.transactions} transactions")
    result = run(config)
    print_report(result, console)
    return 0 if result.clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
