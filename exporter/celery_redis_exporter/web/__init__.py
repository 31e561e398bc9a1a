"""HTTP: callables in, an ASGI application on a socket out.

    server.bind -> socket;  routes.build_app(handlers) -> application;  server.WebServer(socket, application)

What is answered comes from the callables; this room knows no metric, no state and no source. starlette and uvicorn
are used in this room only. Empty on purpose: importing the room must not import a web server.
"""
