"""The state of a worker: what it was asked to be, and the bundle that answers at the moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from trimtab import runtime
from trimtab.serve.served import Served
from trimtab.serve.settings import Settings


class Server:
    """What the routes share. Everything but `served` stays as it is; a request takes `served` once, and keeps it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.threads = settings.threads or max(1, runtime.usable_cores() // settings.workers)
        self.executor = ThreadPoolExecutor(self.threads, "compute")
        self.served = self.load(settings.bundle)
        self.draining = False

    def load(self, folder: str) -> Served:
        """A bundle, ready to answer. Raises TrimtabError for what is none, and where golden rows disagree."""
        return Served(runtime.load(folder, self.threads, self.settings.policy), self.executor)
