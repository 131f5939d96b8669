"""The webhook receiver leaves nothing behind when its event loop ends."""

import asyncio
import contextlib
import gc
import warnings
from typing import Any

import httpx

from devtools.campaign.receiver import WebhookReceiver


def test_open_connections_end_with_the_receiver() -> None:
    """A client that connects and sends nothing, one in the middle, and one just accepted."""

    async def run() -> None:
        receiver = WebhookReceiver(lambda body: None)
        await receiver.start()
        port = int(httpx.URL(receiver.url).port or 0)
        silent = await asyncio.open_connection("127.0.0.1", port)
        half = await asyncio.open_connection("127.0.0.1", port)
        half[1].write(b"POST /hook HTTP/1.1\r\nContent-Length: 10\r\n\r\n{")
        await asyncio.sleep(0.05)
        late = await asyncio.open_connection("127.0.0.1", port)
        await receiver.close()
        for reader, writer in (silent, half, late):
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(run())
        gc.collect()


async def test_a_notification_is_accepted_and_counted_by_mode() -> None:
    accepted: list[dict[str, Any]] = []
    receiver = WebhookReceiver(accepted.append)
    await receiver.start()
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.post(receiver.url, json={"id": 1})).status_code == 200
            await receiver.set_mode("503")
            assert (await http.post(receiver.url, json={"id": 2})).status_code == 503
    finally:
        await receiver.close()
    assert accepted == [{"id": 1}]
    assert receiver.hits == {"503": 1}
