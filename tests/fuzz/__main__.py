# SPDX-License-Identifier: Apache-2.0
"""A coverage-guided search for input that breaks an invariant: ``python -m tests.fuzz [--seconds N] [TARGET ...]``.

Each target runs in a separate process under atheris for this number of seconds (60 by default), beginning with the
inputs in ``tests/fixtures``. Input that breaks an invariant is written to ``tests/fixtures/fuzz/<target>/``, where the
unit tests replay it. Needs atheris, which is no dependency of this project: ``pip install atheris``. Installs nothing.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from celery_redis_exporter.daemon.tuning import limit_memory
from tests.fuzz.seeds import FOUND, write_seeds

SECONDS_PER_INPUT = 10
MEGABYTES = 1024
MISSING = "atheris is not installed; get it with: pip install atheris"


def main(argv: Sequence[str]) -> int:
    """Fuzz the targets one after the other; return 1 if an invariant broke, 2 without atheris."""
    from tests.fuzz.invariants import INVARIANTS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--corpus", type=Path, help="folder that keeps what was learned, for longer runs")
    parser.add_argument("target", nargs="*", metavar="TARGET", help=f"any of {', '.join(INVARIANTS)}; all by default")
    options = parser.parse_args(argv)
    unknown = set(options.target) - set(INVARIANTS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write(f"{MISSING}\n")
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        corpus = options.corpus or Path(scratch)
        broken = [name for name in options.target or INVARIANTS if _run(name, options.seconds, corpus / name)]
    sys.stdout.write(f"broken: {', '.join(broken) or 'nothing'}\n")
    return 1 if broken else 0


def _run(target: str, seconds: int, corpus: Path) -> bool:
    """Fuzz one target in a separate process; return whether it broke."""
    corpus.mkdir(parents=True, exist_ok=True)
    seeds, found = write_seeds(target, corpus.with_name(f"{target}.seeds")), FOUND / target
    found.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"== {target}\n")
    sys.stdout.flush()
    command = [
        sys.executable, "-c", "from tests.fuzz.__main__ import search; search()", target, str(corpus), str(seeds),
        str(found), f"-max_total_time={seconds}", f"-timeout={SECONDS_PER_INPUT}", f"-rss_limit_mb={MEGABYTES}",
        f"-artifact_prefix={found}/", "-max_len=4096", "-print_final_stats=1", "-verbosity=0", "-len_control=20",
    ]  # fmt: skip
    done = subprocess.run(command, check=False)
    if not any(found.iterdir()):
        found.rmdir()
    return done.returncode != 0


def search() -> None:
    """Fuzz the target of the first argument; the other arguments are libFuzzer's."""
    import atheris  # type: ignore[import-untyped]  # optional, and without types

    target = sys.argv.pop(1)
    with atheris.instrument_imports(include=["celery_redis_exporter"], enable_loader_override=False):
        from tests.fuzz.invariants import INVARIANTS

    invariant, found = INVARIANTS[target], FOUND / target

    def check(data: bytes) -> None:
        try:
            invariant(data)
        except BaseException:
            # libFuzzer writes the input too, but not for every kind of failure.
            (found / sha256(data).hexdigest()[:12]).write_bytes(data)
            raise

    limit_memory()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
