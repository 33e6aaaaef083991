"""A thousand connections that say nothing and a hundred that send a byte now and then cost others nothing.

  python3 tests/serve_crowd_test.py THRONG
"""

import re
import resource
import socket
import subprocess
import sys
import threading
import time
import urllib.request

IDLE, DRIPPING = 1000, 100
ALLOWED_S = 0.5  # of a machine that has much else to do; a few milliseconds where it has not


def seconds_of(port, path):
    begin = time.monotonic()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
        assert reply.status == 200 and reply.read()
    return time.monotonic() - begin


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 2 * (IDLE + DRIPPING):
        print(f"left out: this system allows a process {hard} open files only")
        return 0
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096) if hard > 0 else 4096, hard))
    server = subprocess.Popen([sys.argv[1], "serve", "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r"http://[^/]*:(\d+)/", next(line for line in server.stderr if " at http" in line))[1])
        threading.Thread(target=server.stderr.read, daemon=True).start()
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(IDLE)]
        dripping = [socket.create_connection(("127.0.0.1", port)) for _ in range(DRIPPING)]
        for client in dripping:
            client.sendall(b"GET /health HTTP/1.1\r\nX: ")
        taken = {"/health": [], "/metrics": []}
        for _ in range(20):
            for client in dripping:
                client.sendall(b"a")
            for path, seconds in taken.items():
                seconds.append(seconds_of(port, path))
        for path, seconds in taken.items():
            print(f"{path} beside {IDLE} idle and {DRIPPING} dripping connections: at most {max(seconds) * 1000:.1f} ms")
            assert max(seconds) < ALLOWED_S
        # The time for a header is over for all of them.
        time.sleep(11)
        closed = [client for client in [*idle, *dripping] if client.recv(1 << 16) == b"" or client.recv(1 << 16) == b""]
        assert len(closed) == IDLE + DRIPPING, len(closed)
    finally:
        server.terminate()
        server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
