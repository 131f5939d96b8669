"""`Store`: everything the other packages may do with the database."""

from types import TracebackType
from typing import Self

from sqlalchemy import select

from store.callers import Callers
from store.decisions import Decisions
from store.deliveries import Deliveries
from store.erasure import Erasure
from store.figures import FiguresRead
from store.notifications import Notifications
from store.operators import Operators
from store.reconciliation import Reconciliation
from store.recording import Recording
from store.rotation import Rotation
from store.samples import Samples
from store.steps import Steps
from store.tables import merchants


class Store(
    Callers,
    Steps,
    Recording,
    Reconciliation,
    Notifications,
    Operators,
    Deliveries,
    Decisions,
    FiguresRead,
    Erasure,
    Rotation,
    Samples,
):
    """One pool of connections to the database, shared by all callers of a process.

    Opens nothing until first used. The schema is made by `store.migrate.upgrade`. Every method
    raises `StoreUnavailable` when the database is out of reach; the cipher's own error passes
    through when a stored secret does not open. Cancelling a write stops the waiting, not the write.
    """

    async def ping(self) -> None:
        """Return when the database answers and has its schema; else raise `StoreUnavailable`."""
        async with self._reading() as connection:
            await connection.execute(select(merchants.c.id).limit(1))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
