"""What the tests of the app share: a client that asks it without a network."""

import asyncio
import threading
from pathlib import Path

import httpx
import pytest

from model_envelope.serving.app import create_app
from model_envelope.serving.service import Service
from model_envelope.serving.settings import Settings


class Client:
    """Asks an app without a network, on an event loop in a thread of its own, as a server runs it."""

    def __init__(self, service: Service, *, start: bool = True, **settings) -> None:
        self.service = service
        self.app = create_app(service, Settings(**settings))
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.lifespan = self.app.lifespan()
        if start:
            self.run(self.lifespan.__aenter__())
            service.worker.submit(lambda: None).result(10)  # the start comes before it in the model's thread

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def ask(self, verb: str, path: str, **options) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(verb, path, **options)

    def request(self, verb: str, path: str, **options) -> httpx.Response:
        return self.run(self.ask(verb, path, **options))

    def post_all(self, path: str, bodies: list) -> list[httpx.Response]:
        """Send requests that are all there before the first is answered."""

        async def ask_all() -> list[httpx.Response]:
            return await asyncio.gather(*(self.ask("POST", path, json=body) for body in bodies))

        return self.run(ask_all())

    def get(self, path: str, **options) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options) -> httpx.Response:
        return self.request("POST", path, **options)

    def close(self) -> None:
        self.service.worker.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture
def start():
    """A function that starts a service and gives its client."""
    clients = []

    def make(folder: Path, extra_columns="refuse", **options) -> Client:
        clients.append(Client(Service.open(folder, extra_columns=extra_columns), **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
