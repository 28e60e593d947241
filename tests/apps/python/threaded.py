"""The service on http.server: a thread per connection, kept alive."""

import http.server
import os

import routes


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # the answer leaves in one write

    def do_GET(self):
        length = int(self.headers.get("Content-Length", "0"))
        self.rfile.read(length)
        status, parts = routes.answer(self.path)
        self.send_response(status)
        chunked = len(parts) > 1
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(parts[0])))
        self.end_headers()
        if self.command == "HEAD":
            return
        for part in parts:
            if chunked:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.flush()
            else:
                self.wfile.write(part)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024


Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
