"""A stand-in for vLLM's server in tests of its lifecycle: vLLM's arguments (no others), a child process as the engine,
and failures at the start. Standard library only.

The options `--fake-*` choose the failure; `--fake-report` names a file for this process's PIDs and environment.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
CALM = "import time; time.sleep(600)"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("model", "served-model-name", "host", "port", "dtype", "generation-config"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--enable-prompt-tokens-details", action="store_true")
    parser.add_argument("--disable-uvicorn-access-log", action="store_true")
    parser.add_argument("--fake-report")
    parser.add_argument("--fake-slow", type=float, default=0.0)
    parser.add_argument("--fake-exit")
    parser.add_argument("--fake-name")
    parser.add_argument("--fake-stubborn", action="store_true")
    return parser.parse_args()


class Handler(BaseHTTPRequestHandler):
    name, root, key, ready_at = "", "", "", 0.0

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200 if time.monotonic() >= self.ready_at else 503, b"")
        elif self.path != "/v1/models":
            self.answer(404, b'{"detail": "Not Found"}')
        elif self.key and self.headers["Authorization"] != f"Bearer {self.key}":
            self.answer(401, b'{"error": "Unauthorized"}')
        else:
            entry = {"id": self.name, "object": "model", "owned_by": "vllm", "root": self.root}
            self.answer(200, json.dumps({"object": "list", "data": [entry]}).encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    given = arguments()
    print(f"loading {given.model}", flush=True)
    if given.fake_exit:
        print("(Worker pid=7) ERROR [worker.py:1] ValueError: " + given.fake_exit, flush=True)
        print("RuntimeError: Engine core initialization failed", flush=True)
        sys.exit(3)
    if given.fake_stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    engine = subprocess.Popen([sys.executable, "-c", STUBBORN if given.fake_stubborn else CALM])
    report = {"pids": [os.getpid(), engine.pid], "environment": dict(os.environ), "path": sys.path}
    if given.fake_report:
        with open(given.fake_report + ".tmp", "w") as file:
            json.dump(report, file)
        os.replace(given.fake_report + ".tmp", given.fake_report)
    Handler.name, Handler.root = given.fake_name or given.served_model_name, given.model
    Handler.key, Handler.ready_at = os.environ.get("VLLM_API_KEY", ""), time.monotonic() + given.fake_slow
    ThreadingHTTPServer((given.host, int(given.port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
