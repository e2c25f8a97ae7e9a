"""The servers that there are, in the order in which people read them."""

from tests.services import postgres
from tests.services.frame import Server

SERVERS: tuple[Server, ...] = (postgres,)
BY_NAME = {server.NAME: server for server in SERVERS}
