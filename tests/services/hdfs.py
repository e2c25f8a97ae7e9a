"""HDFS: a NameNode and a DataNode, from Maven artefacts, spoken to over WebHDFS.

The port `main` is the NameNode's WebHDFS; the superuser is `frame.USER`. Blocks are 1 MiB, so
that a file of a few megabytes has several.
"""

import http.client
import json
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit
from xml.sax.saxutils import escape

from tests.services import maven
from tests.services.frame import HOST, USER, Launch, Room, run

NAME = "hdfs"
TITLE = "HDFS"
PORTS = {
    "main": 19870,
    "rpc": 18020,
    "datanode": 19866,
    "datanode_http": 19864,
    "datanode_ipc": 19867,
}
SECONDS = 60.0

NODES = "org.apache.hadoop.hdfs.server"
NAMENODE, DATANODE = f"{NODES}.namenode.NameNode", f"{NODES}.datanode.DataNode"
# Hadoop's XML binding defines classes by reflection, which Java 17 has to be told to permit.
OPTIONS = ("-Xmx256m", "--add-opens=java.base/java.lang=ALL-UNNAMED")
WHO = {"HADOOP_USER_NAME": USER}  # else the superuser would be whoever runs the tests

LOG4J = """\
log4j.rootLogger=WARN,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
"""


def missing() -> str | None:
    """Why HDFS cannot start here; None when it can."""
    return maven.missing(NAME)


def install() -> None:
    """Bring Java, Maven and Hadoop's jars."""
    maven.install(NAME)


def launches(room: Room) -> list[Launch]:
    """Write the settings of both nodes, format the names once, and say how to run them."""
    conf = room.folder / "conf"
    # The servers look for the folders of web pages that the jars come without.
    for page in ("hdfs", "datanode", "static"):
        (conf / "webapps" / page).mkdir(parents=True, exist_ok=True)
    (conf / "log4j.properties").write_text(LOG4J)
    (conf / "core-site.xml").write_text(_xml(_core(room)))
    (conf / "hdfs-site.xml").write_text(_xml(_hdfs(room)))
    if not (room.folder / "data" / "name" / "current" / "VERSION").exists():
        run([*_node(NAMENODE, conf), "-format", "-nonInteractive"], env=WHO)
    return [Launch(_node(main, conf), env=WHO) for main in (NAMENODE, DATANODE)]


def _node(main: str, conf: Path) -> list[str]:
    return maven.command(NAME, main, *OPTIONS, first=[conf])


def _core(room: Room) -> dict[str, str]:
    return {
        "fs.defaultFS": f"hdfs://{HOST}:{room.ports['rpc']}",
        "hadoop.tmp.dir": str(room.folder / "tmp"),
        "hadoop.http.staticuser.user": USER,
    }


def _hdfs(room: Room) -> dict[str, str]:
    data = room.folder / "data"
    return {
        "dfs.replication": "1",
        "dfs.blocksize": str(1 << 20),
        "dfs.namenode.name.dir": (data / "name").as_uri(),
        "dfs.datanode.data.dir": (data / "blocks").as_uri(),
        "dfs.namenode.rpc-address": f"{HOST}:{room.ports['rpc']}",
        "dfs.namenode.http-address": room.address,
        "dfs.datanode.hostname": HOST,
        "dfs.datanode.address": f"{HOST}:{room.ports['datanode']}",
        "dfs.datanode.http.address": f"{HOST}:{room.ports['datanode_http']}",
        "dfs.datanode.ipc.address": f"{HOST}:{room.ports['datanode_ipc']}",
        "dfs.namenode.datanode.registration.ip-hostname-check": "false",
        # One node, at rest: no waiting for others, no thought of its load.
        "dfs.namenode.safemode.min.datanodes": "1",
        "dfs.namenode.safemode.extension": "0",
        "dfs.namenode.redundancy.considerLoad": "false",
        "dfs.heartbeat.interval": "1",
    }


def _xml(settings: dict[str, str]) -> str:
    rows = "".join(
        f"<property><name>{escape(key)}</name><value>{escape(value)}</value></property>\n"
        for key, value in settings.items()
    )
    return f"<configuration>\n{rows}</configuration>\n"


def answer(room: Room) -> str:
    """Write a small file, read it back, and return Hadoop's version."""
    path, text = "/.lichen-ready", b"ready"
    put(room, path, text)
    if get(room, path) != text:
        raise ConnectionError("the file that was read is not the one that was written")
    page = "/jmx?qry=Hadoop:service=NameNode,name=NameNodeInfo"
    return str(json.loads(_http("GET", room.address, page))["beans"][0]["SoftwareVersion"])


def put(room: Room, path: str, content: bytes) -> None:
    """Write a file, and the folders above it."""
    _there("PUT", _placed("PUT", room, path, op="CREATE", overwrite="true"), content)


def get(room: Room, path: str) -> bytes:
    """Read a file."""
    return _there("GET", _placed("GET", room, path, op="OPEN"))


def make(room: Room, folder: str) -> None:
    """Make a folder."""
    _http("PUT", room.address, _page(folder, op="MKDIRS"))


def drop(room: Room, path: str) -> None:
    """Remove a file, or a folder with all in it."""
    _http("DELETE", room.address, _page(path, op="DELETE", recursive="true"))


def _placed(method: str, room: Room, path: str, **words: str) -> str:
    """Return where the NameNode sends those who want a file's content."""
    page = _page(path, **words, noredirect="true")
    return str(json.loads(_http(method, room.address, page))["Location"])


def _there(method: str, place: str, body: bytes = b"") -> bytes:
    """Ask the DataNode that the NameNode named."""
    parts = urlsplit(place)
    path = quote(parts.path, safe="/%")  # WebHDFS leaves letters such as é as they are
    return _http(method, parts.netloc, f"{path}?{parts.query}", body)


def _page(path: str, **words: str) -> str:
    """Return the address of a file or folder in WebHDFS, with its superuser."""
    return f"/webhdfs/v1{quote(path)}?{urlencode({**words, 'user.name': USER})}"


def _http(method: str, address: str, path: str, body: bytes = b"") -> bytes:
    """Return the body of the answer; raises unless the server did what was asked."""
    line = http.client.HTTPConnection(address, timeout=5)
    try:
        line.request(method, path, body, {"Content-Type": "application/octet-stream"})
        reply = line.getresponse()
        said = reply.read()
    finally:
        line.close()
    if reply.status >= 300:
        raise ConnectionError(f"{method} {path} → {reply.status}: {said[:300]!r}")
    return said
