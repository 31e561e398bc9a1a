"""One scrape: read every server in parallel under one deadline, merge with the series of events, render.

Input: a request for metrics. Output: the body of the response.
"""
