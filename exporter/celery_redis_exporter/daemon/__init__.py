# SPDX-License-Identifier: Apache-2.0
"""Run the process: it is built from settings, started and stopped, with its supervisor, log and web server."""
