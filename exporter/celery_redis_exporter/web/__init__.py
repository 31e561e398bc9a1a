# SPDX-License-Identifier: Apache-2.0
"""Serve HTTP.

Input: plain callables. Output: an ASGI application on a listening socket.

    listeners.bind -> socket;  routes.build_app(handlers) -> application;  server.WebServer(socket, application)

The content of each response comes from the callables. This package imports no metric, no state and no source. starlette
and uvicorn are used in this package only. This file is empty on purpose: importing the package must not import a web
server.
"""
