"""Reads settings from flags, environment and files, validates them, and explains what is wrong in one line."""
