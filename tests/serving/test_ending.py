"""How a server takes the signal that tells it to end."""

import asyncio
import logging
import signal
import socket

import uvicorn

from model_envelope.serving.server import Place, Server
from model_envelope.serving.service import Phase, Service
from model_envelope.serving.settings import Settings


class Entered(logging.Handler):
    """A log that is being written when the signal comes: it cannot be entered a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = False
        self.said = []

    def emit(self, record):
        if self.busy:
            raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")
        self.said.append(record.getMessage())


def test_a_signal_that_comes_while_the_log_is_written_is_not_lost(scorer):
    service = Service.open(scorer)
    log = Entered()
    logger = logging.getLogger("model_envelope.serving")
    logger.addHandler(log)
    level, logger.level = logger.level, logging.INFO
    try:
        with socket.socket() as listening:
            server = Server(uvicorn.Config(lambda: None), service, Settings(), Place(listening, "http://test"))

            async def told():
                server.loop = asyncio.get_running_loop()
                log.busy = True
                server.handle_exit(signal.SIGTERM, None)
                log.busy = False
                await asyncio.sleep(0.01)

            asyncio.run(told())
        assert server.should_exit
        assert service.phase is Phase.DRAINING
        assert log.said == ["SIGTERM: finishing what is under way"]
    finally:
        logger.removeHandler(log)
        logger.level = level
        service.worker.stop()
