"""Parse and check the URLs of servers, and read their passwords from files."""
