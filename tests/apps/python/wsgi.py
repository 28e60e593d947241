"""The service for gunicorn: pre-forked workers."""

import http

import routes


def application(environ, start_response):
    target = environ["PATH_INFO"]
    if environ.get("QUERY_STRING"):
        target += "?" + environ["QUERY_STRING"]
    environ["wsgi.input"].read()
    status, parts = routes.answer(target)
    headers = [] if len(parts) > 1 else [("Content-Length", str(len(parts[0])))]
    start_response(f"{status} {http.HTTPStatus(status).phrase}", headers)
    return parts
