"""An SMS provider for `make compose-test`: takes Twilio's call, prints each message as JSON."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

PORT = 8099


class Provider(BaseHTTPRequestHandler):
    """Answers as Twilio's Messages resource does."""

    taken = 0

    def do_POST(self) -> None:
        """Take a message."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        Provider.taken += 1
        content = json.dumps({"sid": f"SM{Provider.taken:032x}"}).encode()
        print(json.dumps({"to": form["To"][0], "text": form["Body"][0]}), flush=True)  # noqa: T201
        self.send_response(201)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print messages only."""


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", PORT), Provider).serve_forever()
