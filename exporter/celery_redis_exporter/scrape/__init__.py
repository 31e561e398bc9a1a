# SPDX-License-Identifier: Apache-2.0
"""Answer one scrape: read every server in parallel under one deadline, add the series of events, render.

Input: a request for metrics. Output: the body of the response.
"""
