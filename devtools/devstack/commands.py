"""`integrator run` and `integrator demo`. What they do is imported when they run."""

from integrator.operations import command_runner


def run() -> None:
    """Run everything on this machine until Ctrl-C: Temporal, sandbox PSP, worker and API."""
    from rich.console import Console

    from devtools.devstack.run import run as run_stack

    command_runner.leave_after(lambda: run_stack(command_runner.settings(), Console()))


def demo() -> None:
    """Play one customer's life against the running stack, or one started for it."""
    from rich.console import Console

    from devtools.devstack.demo.main import demo as play

    command_runner.leave_after(lambda: play(command_runner.settings(), Console()))
