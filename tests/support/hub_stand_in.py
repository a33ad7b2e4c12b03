"""The part of the Hub's API that uploads use, served locally from dictionaries of bytes."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_standin"


class Hub:
    """Repositories by (kind, name), each with its files by path, and how each was created."""

    def __init__(self):
        self.made, self.files, self.objects = {}, {}, {}
        self.refuses = 0


class Handler(BaseHTTPRequestHandler):
    """Answers requests about `hub`, which a subclass provides."""

    hub: Hub

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while size := int(self.rfile.readline().strip(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def send(self, value, status=200):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.send({"error": "none"}, 404)

    do_HEAD = do_GET

    def do_PUT(self):
        self.hub.objects[self.path.rsplit("/", 1)[1]] = self.body()
        self.send({})

    def do_POST(self):
        data = self.body()
        if self.hub.refuses or self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.send({"error": "no"}, self.hub.refuses or 401)
        elif self.path == "/api/repos/create":
            self.create(json.loads(data))
        elif self.path.endswith("/info/lfs/objects/batch"):
            self.offer(json.loads(data)["objects"])
        elif self.path == "/api/validate-yaml":
            self.send({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            self.sort(json.loads(data)["files"])
        else:
            self.commit(map(json.loads, data.splitlines()))

    @property
    def url(self):
        return f"http://{self.headers['Host']}"

    def create(self, asked):
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        kind = asked.get("type", "model")
        self.hub.made[kind, name] = asked
        self.hub.files.setdefault((kind, name), {})
        self.send({"url": f"{self.url}/{'' if kind == 'model' else kind + 's/'}{name}"})

    def offer(self, objects):
        for one in objects:
            one["actions"] = {"upload": {"href": f"{self.url}/put/{one['oid']}", "header": {}}}
        self.send({"transfer": "basic", "objects": objects})

    def sort(self, files):
        def mode(sample):
            return "lfs" if b"\0" in base64.b64decode(sample) else "regular"

        self.send({"files": [
            {"path": f["path"], "shouldIgnore": False, "uploadMode": mode(f["sample"])}
            for f in files
        ]})  # fmt: skip

    def commit(self, lines):
        _, _, kind, user, name, *_ = self.path.split("/")
        files = self.hub.files[kind.removesuffix("s"), f"{user}/{name}"]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
                assert hashlib.sha256(files[value["path"]]).hexdigest() == value["oid"]
        self.send({"commitUrl": f"{self.url}/{user}/{name}/commit/abc", "commitOid": "abc"})


@contextmanager
def hub_on_this_machine():
    """Serves an empty Hub; yields it and its address."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"hub": hub}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
