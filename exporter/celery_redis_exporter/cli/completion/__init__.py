# SPDX-License-Identifier: Apache-2.0
"""``completion``: print a script that completes commands, flags and values in bash, zsh or fish.

Input: the shell's name. Output: the script on standard output. It is generated from each command's description, and
runs no program when a key is pressed.
"""

import sys

from celery_redis_exporter.cli.completion.bash import render_bash
from celery_redis_exporter.cli.completion.fish import render_fish
from celery_redis_exporter.cli.completion.words import read_vocabulary
from celery_redis_exporter.cli.completion.zsh import render_zsh
from celery_redis_exporter.errors import ConfigError

HELP = """\
usage: celery-redis-exporter completion bash|zsh|fish

Print a script that completes commands, flags and values. For one shell, or in
its start-up file:

  bash  source <(celery-redis-exporter completion bash)
  zsh   source <(celery-redis-exporter completion zsh)     after compinit
  fish  celery-redis-exporter completion fish | source

For all users write the output to one of these files:

  share/bash-completion/completions/celery-redis-exporter
  share/zsh/site-functions/_celery-redis-exporter
  share/fish/vendor_completions.d/celery-redis-exporter.fish
"""
RENDERERS = {"bash": render_bash, "zsh": render_zsh, "fish": render_fish}


def run(argv: list[str]) -> int:
    """Print the script. Raises ConfigError for an unknown shell."""
    if any(argument in {"-h", "--help"} for argument in argv):
        sys.stdout.write(HELP)
        return 0
    if len(argv) != 1 or argv[0] not in RENDERERS:
        raise ConfigError(f"completion: name one shell: {', '.join(RENDERERS)}")
    sys.stdout.write(RENDERERS[argv[0]](read_vocabulary()))
    return 0
