"""The private PostgreSQL in which sources and targets lie."""

import os
import pwd
import signal
import subprocess
import time

MAJOR = 18
# As a scratch server has them, so that the disk is measured as little as possible.
SETTINGS = {
    "fsync": "off", "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": "0",
    "shared_buffers": "256MB", "maintenance_work_mem": "128MB", "max_wal_size": "4GB",
    "autovacuum": "off", "jit": "off", "listen_addresses": "''",
    # pg_dump locks every table.
    "max_locks_per_transaction": "512",
}


class Server:
    """A private PostgreSQL on a unix socket; as root it runs as another user."""

    def __init__(self, bin_directory, work):
        self.bin, self.work = bin_directory, work
        self.account = {}
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            self.account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.home = work / "server"
        self.home.mkdir(mode=0o700)
        if self.account:
            os.chown(self.home, self.account["user"], self.account["group"])
        self.log = open(work / "server.log", "wb")
        self.process = None

    def start(self):
        data = self.home / "data"
        run = {"check": True, "cwd": "/", "stdout": self.log, "stderr": self.log, **self.account}
        subprocess.run([self.bin / "initdb", "--pgdata", data, "--username", "postgres", "--encoding", "UTF8",
                        "--locale", "C", "--auth", "trust", "--no-sync"], env={"PATH": "/usr/bin:/bin"}, **run)
        options = [f"-c{name}={value}" for name, value in SETTINGS.items() if name != "listen_addresses"]
        self.process = subprocess.Popen(
            [self.bin / "postgres", "-D", data, "-k", self.home, "-c", "listen_addresses=", *options],
            cwd="/", env={"PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            **self.account)
        for _ in range(600):
            if subprocess.run([self.bin / "pg_isready", "-q", "-h", self.home]).returncode == 0:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit("bench: the server did not start:\n" + (self.work / "server.log").read_text()[-2000:])

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait()

    def url(self, database):
        return f"postgresql://postgres@/{database}?host={self.home}"

    def sql(self, text, database):
        done = subprocess.run([self.bin / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", self.url(database)],
                              input=text.encode(), stdout=subprocess.PIPE, check=True)
        return done.stdout.decode().strip()

    def create(self, database):
        self.sql(f"CREATE DATABASE {database} TEMPLATE template0", "postgres")

    def drop(self, database):
        self.sql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)", "postgres")

    def counts(self, database):
        """Rows by table, as the server counts them."""
        text = self.sql("""
            CREATE FUNCTION pg_temp.counts() RETURNS SETOF text LANGUAGE plpgsql AS $$
            DECLARE one record; number bigint;
            BEGIN
              FOR one IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
                EXECUTE format('SELECT count(*) FROM public.%I', one.relname) INTO number;
                RETURN NEXT one.relname || '=' || number;
              END LOOP;
            END $$;
            SELECT pg_temp.counts();""", database)
        return {name: int(number) for name, _, number in (line.rpartition("=") for line in text.splitlines())}
