"""The servers that there are, in the order in which people read them."""

from tests.services import ferretdb, mariadb, mosquitto, moto, postgres
from tests.services.frame import Server

SERVERS: tuple[Server, ...] = (postgres, mariadb, mosquitto, ferretdb, moto)
BY_NAME = {server.NAME: server for server in SERVERS}
