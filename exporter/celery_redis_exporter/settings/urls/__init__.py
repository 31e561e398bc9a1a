"""URLs of servers: parsed, checked, and with their passwords read from files."""
