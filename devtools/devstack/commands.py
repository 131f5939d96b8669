"""CLI commands `integrator run` and `integrator demo`; they import their code when they run."""

from integrator.operations import command_runner


def run() -> None:
    """Run everything on this machine until Ctrl-C: Temporal, sandbox PSP, worker and API."""
    from rich.console import Console

    from devtools.devstack.run import run as run_stack

    command_runner.run_and_exit(lambda: run_stack(command_runner.load_settings(), Console()))


def demo() -> None:
    """Run one customer's transactions against the running stack, or one started for it."""
    from rich.console import Console

    from devtools.devstack.demo.main import run_demo

    command_runner.run_and_exit(lambda: run_demo(command_runner.load_settings(), Console()))
