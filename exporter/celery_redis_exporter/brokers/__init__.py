"""What differs between Redis, Sentinel and the other kombu transports: event stream, queue reads, control client.

Input: settings. Output: objects that collectors and scrape use without knowing which broker they read.
"""
