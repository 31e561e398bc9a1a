"""The process: built from settings, started and stopped, with its supervisor, log and web server."""
