"""Commands `worker versions`, `worker promote` and the others about versions of the worker."""

from collections.abc import Callable, Coroutine
from typing import Annotated

import typer

from integrator.cli.options import AsJson, seconds
from integrator.operations import command_runner, output

app = typer.Typer(help="Workers and the versions of their code.", no_args_is_help=True)

BuildId = Annotated[str, typer.Argument(help="Build id as `worker versions` shows it.")]
Wait = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="How long to wait for workers of the build id to poll all task queues.",
    ),
]
WAIT = 30.0


@app.command("versions")
def versions(as_json: AsJson = False) -> None:
    """Show polling workers and, with a deployment, the versions of the worker."""

    async def show() -> int:
        from integrator.operations.worker_versions import read_versions

        result = await read_versions(command_runner.load_settings())
        if as_json:
            output.print_json(result)
            return 0
        output.print_table(
            ("Worker", "Build id", "Polls", "Seen"),
            (
                [
                    poller.identity,
                    (poller.build_id or "-") + ("" if poller.versioned else " (no version)"),
                    "all queues" if poller.polls == result.queues else ", ".join(poller.polls),
                    output.format_minute(poller.seen_at),
                ]
                for poller in result.pollers
            ),
        )
        output.print_table(
            ("Build id", "State", "Share", "Workers", "Created", "Current since", "Prune"),
            (
                [
                    version.build_id,
                    version.status,
                    f"{version.ramp_percentage:g} %" if version.ramp_percentage else "-",
                    "poll" if version.polling else "-",
                    output.format_minute(version.created_at),
                    output.format_minute(version.current_since),
                    f"keeps it: {version.kept_because}" if version.kept_because else "deletes it",
                ]
                for version in result.versions
            ),
        )
        return 0

    command_runner.run_and_exit(show)


@app.command("build-id")
def build_id() -> None:
    """Print the build id of the installed code: that of the workers of this image."""
    from integrator.temporal.worker_versioning import build_id

    typer.echo(build_id(command_runner.load_settings()))


@app.command("current")
def current() -> None:
    """Print the build id that gets the tasks; nothing before the first promotion."""

    async def run() -> int:
        from integrator.operations.worker_versions import current_version

        found = await current_version(command_runner.load_settings())
        if found is not None:
            typer.echo(found)
        return 0

    command_runner.run_and_exit(run)


@app.command("wait")
def wait(build_id: BuildId, wait: Wait = WAIT) -> None:
    """Wait until workers of this build id poll all task queues."""

    async def run() -> str:
        from integrator.operations.worker_versions import wait_for_workers

        await wait_for_workers(command_runner.load_settings(), build_id, seconds(wait))
        return f"Workers of {build_id} poll all task queues."

    _run_and_report(run)


@app.command("promote")
def promote(build_id: BuildId, wait: Wait = WAIT) -> None:
    """Route all tasks, also of running transactions, to the workers of this build id.

    A running ramp ends. Succeeds if it is the current version already.
    """

    async def run() -> str:
        from integrator.operations.worker_versions import promote

        await promote(command_runner.load_settings(), build_id, seconds(wait))
        return f"{build_id} is the current version."

    _run_and_report(run)


@app.command("ramp")
def ramp(
    build_id: BuildId,
    percentage: Annotated[
        float, typer.Argument(min=0, max=100, help="Share of the transactions, in percent.")
    ],
    wait: Wait = WAIT,
) -> None:
    """Route a part of the transactions to the workers of this build id."""

    async def run() -> str:
        from integrator.operations.worker_versions import ramp

        await ramp(command_runner.load_settings(), build_id, percentage, seconds(wait))
        return f"{build_id} gets the tasks of {percentage:g} % of the transactions."

    _run_and_report(run)


@app.command("failed-tasks")
def failed_tasks() -> None:
    """Print how many workflow tasks have failed in the worker on this host since its start.

    Transactions whose tasks fail stand still: the worker's code does not fit their histories.
    """
    from integrator.operations.failed_tasks import count_failed_tasks

    with command_runner.report_errors():
        typer.echo(count_failed_tasks(command_runner.load_settings()))


@app.command("prune")
def prune(as_json: AsJson = False) -> None:
    """Delete drained versions without workers, except the one before the current version.

    The exit code is 1 if Temporal does not delete a version that it should.
    """

    async def run() -> int:
        from integrator.operations.worker_versions import prune

        report = await prune(command_runner.load_settings())
        if as_json:
            output.print_json(report)
        else:
            for build_id in report.deleted:
                typer.echo(f"deleted  {build_id}")
            for kept in report.kept:
                typer.echo(f"kept     {kept.build_id}: {kept.reason}")
            for kept in report.failed:
                typer.echo(f"failed   {kept.build_id}: {kept.reason}")
        return 1 if report.failed else 0

    command_runner.run_and_exit(run)


def _run_and_report(work: Callable[[], Coroutine[object, object, str]]) -> None:
    async def run() -> int:
        typer.echo(await work())
        return 0

    command_runner.run_and_exit(run)
