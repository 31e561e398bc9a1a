# SPDX-License-Identifier: Apache-2.0
"""Make a Django project whose beat reads its schedule from a database, with django-celery-beat.

Input: a folder and a Python. Output: a project ``proj`` with entries. Pip installs Django into ``.peers`` once.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

from tests.integration.processes import ROOT, clean_environment, source_path

DATABASE_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
PACKAGES = ("celery[redis]==5.7.0", "django-celery-beat==2.9.0", "django==5.2.19")
FOLDER = ROOT / ".peers" / "django-celery-beat-2.9.0"
PROJECT = """
import os
import sys
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proj")
BASE_DIR = Path(__file__).parent
SECRET_KEY = "of the test"
USE_TZ = True
INSTALLED_APPS = ["django_celery_beat"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"

import celery_events
from celery import Celery

celery_events.BEAT_SECONDS, celery_events.SCHEDULE_SECONDS = 0.5, 1.0
app = Celery("proj", broker=os.environ["APPLICATION_BROKER"])
app.conf.beat_scheduler = os.environ.get("APPLICATION_SCHEDULER", "django_celery_beat.schedulers:DatabaseScheduler")
"""
ENTRIES = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
hour = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
PeriodicTask.objects.create(name="hourly", task="site.hourly", interval=hour)
PeriodicTask.objects.create(name="off", task="site.off", interval=hour, enabled=False)
for hour in (0, 12):
    plan = CrontabSchedule.objects.create(minute="0", hour=str(hour))
    PeriodicTask.objects.create(name=f"at {hour}", task=f"site.at_{hour}", crontab=plan)
"""


def django_python() -> Path:
    """Return the Python that has Django and django-celery-beat. Install them if they are missing."""
    python, done = FOLDER / "bin" / "python", FOLDER / f"installed-{sys.implementation.cache_tag}"
    if not done.is_file():
        venv.create(FOLDER, clear=True, with_pip=False)
        command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *PACKAGES]
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
        assert found.returncode == 0, found.stdout + found.stderr
        done.touch()
    return python


def project_environment(folder: Path, broker_url: str) -> dict[str, str]:
    """Return the environment in which the project in a folder can be imported."""
    path = os.pathsep.join([str(folder), str(ROOT / "deploy"), source_path(ROOT)])
    variables = {"APPLICATION_BROKER": broker_url, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "proj"}
    return clean_environment() | variables


def prepare_database(folder: Path, python: str, broker_url: str) -> None:
    """Write the project, and its database with entries."""
    (folder / "proj.py").write_text(PROJECT, encoding="utf-8")
    environment = project_environment(folder, broker_url)
    command = [python, "-c", ENTRIES]
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
