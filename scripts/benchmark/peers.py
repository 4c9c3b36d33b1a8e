"""Peers that a machine may lack, and the S3 engine."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

IDENTITY = {"identities": [{"name": "admin", "credentials": [{"accessKey": "testkey", "secretKey": "testsecret"}],
                            "actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}


def find(cache, offline):
    """Returns where each peer was found. Debian's packages are unpacked into the cache; nothing is installed."""
    folder, found = cache / "peers", {}
    for program in ("pigz", "pgcopydb"):
        own = folder / program / "usr/bin" / program
        if not own.exists() and not shutil.which(program) and not offline:
            unpack(folder, program)
        if own.exists():
            found[program] = own
        elif shutil.which(program):
            found[program] = shutil.which(program)
        else:
            print(f"bench: {program} is not here, so its cases are left out (apt-get install {program})", file=sys.stderr)
    return found


def unpack(folder, program):
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return
    unfinished = folder / f"unfinished-{program}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    subprocess.run(["apt-get", "download", program], cwd=unfinished, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=120)
    for package in unfinished.glob("*.deb"):
        if subprocess.run(["dpkg-deb", "-x", package, unfinished]).returncode == 0:
            unfinished.rename(folder / program)
            return
    shutil.rmtree(unfinished, ignore_errors=True)


class Engine:
    """SeaweedFS on loopback, with the bucket `bench`."""

    OFFSETS = [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14]

    def __init__(self, cache, work):
        self.weed, self.aws = cache / "seaweedfs/weed", cache / "awscli/bin"
        self.home, self.process, self.port = work / "engine", None, None
        self.home.mkdir()
        (self.home / "tmp").mkdir()
        (self.home / "s3.json").write_text(json.dumps(IDENTITY))

    def start(self):
        for port in range(30100, 32000, 20):
            if all(free(port + offset) for offset in self.OFFSETS) and self.try_start(port):
                self.port = port
                subprocess.run([self.aws / "aws", "s3", "mb", "s3://bench"], check=True, stdout=subprocess.DEVNULL,
                               env={"PATH": os.environ["PATH"], **self.environment()})
                return
        raise SystemExit("bench: the S3 engine found no free ports")

    def try_start(self, p):
        command = [self.weed, "mini", f"-dir={self.home}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                   f"-s3.config={self.home}/s3.json", "-master.telemetry=false", "-webdav=false", "-admin.ui=false",
                   "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", f"-s3.port={p}",
                   f"-s3.port.grpc={p + 10}", f"-master.port={p + 1}", f"-master.port.grpc={p + 11}",
                   f"-volume.port={p + 2}", f"-volume.port.grpc={p + 12}", f"-filer.port={p + 3}",
                   f"-filer.port.grpc={p + 13}", f"-admin.port={p + 4}", f"-admin.port.grpc={p + 14}",
                   f"-metricsPort={p + 5}", "-metricsIp=127.0.0.1", "-s3.autoCreateBucket=false",
                   "-s3.allowDeleteBucketNotEmpty=false"]
        with open(self.home / "log", "wb") as log:
            self.process = subprocess.Popen(command, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={"PATH": os.environ["PATH"], "HOME": str(self.home),
                                                 "TMPDIR": str(self.home / "tmp"), "GOMEMLIMIT": "600MiB"})
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{p}/healthz", timeout=5) as answer:
                    if answer.status == 200:
                        return True
            except OSError:
                time.sleep(0.1)
            if self.process.poll() is not None:
                return False
        self.stop()
        return False

    def environment(self):
        return {"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret", "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
                "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}

    def moved(self):
        """Bytes of objects that clients have sent and fetched so far, and requests, as the engine counts them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port + 5}/metrics", timeout=30) as answer:
            lines = [line.rpartition(" ") for line in answer.read().decode().splitlines() if 'bucket="bench"' in line]
        return {key: sum(float(value) for name, _, value in lines if name.startswith(f"SeaweedFS_s3_{metric}{{"))
                for key, metric in (("sent_bytes", "bucket_traffic_received_bytes_total"),
                                    ("fetched_bytes", "bucket_traffic_sent_bytes_total"), ("requests", "request_total"))}

    def size(self, key):
        said = subprocess.run([self.aws / "aws", "s3api", "head-object", "--bucket", "bench", "--key", key,
                               "--query", "ContentLength"], stdout=subprocess.PIPE, check=True,
                              env={"PATH": os.environ["PATH"], **self.environment()})
        return int(said.stdout)

    def stop(self):
        if self.process and self.process.poll() is None:
            # It is nobody's data; ending in good order takes it seconds.
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def free(port):
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
