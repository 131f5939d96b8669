"""The same lives, begun with search attributes, which are kept current all along."""

from tests.replay.scenarios.failures import payment_webhook_dead
from tests.replay.scenarios.parts import Handle
from tests.replay.scenarios.payments import (
    payment_captured_open,
    payment_debit_refunded_charged_back,
)
from tests.replay.scenarios.preauths import preauth_redirect_finalized_captured
from tests.workflows.conftest import World, eventually, standing_still


async def payment_searchable_captured(world: World) -> Handle:
    return await payment_captured_open(world)


async def payment_searchable_debit_charged_back(world: World) -> Handle:
    return await payment_debit_refunded_charged_back(world)


async def payment_searchable_webhook_dead_then_redelivered(world: World) -> Handle:
    """Given up, which can be searched for, and delivered after all."""
    handle = await payment_webhook_dead(world)
    world.webhook_failure = lambda attempt: None
    with standing_still(world.env):
        await world.gateway.redeliver(world.payment())
        await eventually(lambda: world.webhooks)
    return handle


async def preauth_searchable_captured(world: World) -> Handle:
    return await preauth_redirect_finalized_captured(world)


STORIES = (
    payment_searchable_captured,
    payment_searchable_debit_charged_back,
    payment_searchable_webhook_dead_then_redelivered,
    preauth_searchable_captured,
)
