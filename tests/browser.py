"""Headless Chromium for tests of pages."""

import base64
import json
import re
import shutil
import subprocess
import sys
import urllib.request

SKIPPED = 77  # the exit status by which CTest knows


def skip_without_browser():
    if not shutil.which("chromedriver"):
        print("skipped: chromedriver is missing (Debian: chromium-driver)")
        sys.exit(SKIPPED)


class Browser:
    """Headless Chromium, driven through WebDriver."""

    def __init__(self, profile, size=(1280, 890)):
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        started = (re.search(r"started successfully on port (\d+)", line) for line in self.driver.stdout)
        port = next(match[1] for match in started if match)
        self.address = f"http://127.0.0.1:{port}/session"
        arguments = ["headless=new", "no-sandbox", "disable-gpu", "disable-quic", "disable-dev-shm-usage", "no-first-run"]
        arguments += ["disable-background-networking", "disable-component-update", "disable-sync", "hide-scrollbars"]
        arguments += [f"user-data-dir={profile}", "window-size={},{}".format(*size)]
        chrome = {"args": ["--" + argument for argument in arguments]}
        wanted = {"goog:chromeOptions": chrome, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self.call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self.address += "/" + session["sessionId"]

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()[:500]}") from error

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": arguments})

    def text(self, element):
        return self.run("return document.getElementById(arguments[0]).textContent", element)

    def click(self, x, y):
        move = {"type": "pointerMove", "x": x, "y": y, "duration": 0}
        press = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self.call("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": [move, *press]}]})

    def touch(self, *moments):
        """Fingers on the page: where each is, [x, y], at one moment after another; then they are lifted."""
        kinds = ["touchStart", *["touchMove"] * (len(moments) - 1), "touchEnd"]
        for kind, fingers in zip(kinds, [*moments, []]):
            points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(fingers)]
            self.call("POST", "/goog/cdp/execute", {"cmd": "Input.dispatchTouchEvent", "params": {"type": kind, "touchPoints": points}})

    def type(self, *keys):
        """Presses keys where the focus is: characters, or key values of WebDriver; a list of keys is pressed together."""
        actions = []
        for key in keys:
            chord = key if isinstance(key, list) else [key]
            actions += [{"type": "keyDown", "value": one} for one in chord]
            actions += [{"type": "keyUp", "value": one} for one in reversed(chord)]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def emulate(self, **features):
        """Media features, such as prefers_color_scheme="dark"."""
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}})

    def resize(self, width, height):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": size})

    def console(self):
        """What the page has complained about since the last call."""
        entries = self.call("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]

    def screenshot(self):
        return base64.b64decode(self.call("GET", "/screenshot"))

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()
