"""The servers that there are, in the order in which people read them."""

from tests.services import (
    cassandra,
    ferretdb,
    hdfs,
    kafka,
    mariadb,
    mosquitto,
    moto,
    postgres,
    schemas,
)
from tests.services.frame import Server

SERVERS: tuple[Server, ...] = (
    postgres,
    mariadb,
    mosquitto,
    ferretdb,
    moto,
    kafka,
    schemas,
    cassandra,
    hdfs,
)
BY_NAME = {server.NAME: server for server in SERVERS}
