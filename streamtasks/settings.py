"""The settings of a store, checked when they are created."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from .exceptions import ConfigurationError
from .protocol.durability import MEMORY, Durability, check_durability
from .protocol.keys import check_prefix, check_tags
from .protocol.shards import ALL_TAGS, Tags
from .protocol.validation import check_count, check_seconds
from .protocol.wire import DEFAULT_MOST, JSON, Wire
from .secrets import read_secrets

__all__ = ["DEFAULT_URL", "MIN_DEDUP_S", "StoreSettings"]

DEFAULT_URL: Final = "redis://127.0.0.1:6379/0"
MIN_DEDUP_S: Final = 900.0
"""A finished id stays known for at least this long, seconds, whatever the result expiry (design rule I2)."""

LEAST_LOG_BYTES: Final = 4096
MOST_LOG_BYTES: Final = 1024 * 1024

ONE_TAG: Final = ALL_TAGS[:1]
"""The default, by its identity: in a Cluster it stands for `ALL_TAGS`."""

_tags: Final[dict[tuple[str, str, tuple[str, ...], bool], Tags]] = {}
"""What this process has learnt of the shards of its stores, by URL, prefix, tags and whether these are the default."""

_followed: Final[dict[tuple[str, str], tuple[str, ...]]] = {}
"""Shards of stores whose list this process follows when it grows, by URL and prefix; see `follow_shards`."""

ENQUEUE_TIMEOUT_S: Final = 3.0
"""How long enqueueing is repeated unless the settings say otherwise, seconds."""

IDLE_POLL_S: Final = 2.0
"""How often an idle worker asks without having been woken unless the settings say otherwise, seconds."""

DURABILITY_TIMEOUT_S: Final = 2.0
"""How long enqueueing waits for replicas and files unless the settings say otherwise, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """The address of a store and how it keeps messages and results.

    Attributes:
        url: ``redis://[user:password@]host:port/db``, ``rediss://`` or ``unix://``; or Sentinels and the service that
            they watch, ``redis+sentinel://[user:password@]host:port,host:port/service/db``; or some nodes of a Cluster,
            ``redis+cluster://[user:password@]host:port,host:port`` (``rediss+...://`` with TLS); or ``memory://name``,
            which keeps everything in this process (``?max_tasks=1000`` bounds it). ``django://alias/table`` is set by
            a DatabaseBackend: tables of one of the project's databases.
        connection: redis-py connection keyword arguments; they win over the URL. Also ``password_file``, which is read
            at each login, ``credential_provider`` as a dotted path, and ``reauthenticate_every``: how often connections
            that live log in again, seconds.
        sentinel_connection: the same for the connections to Sentinels: ``username``, ``password``, ``ssl`` and so on.
        key_prefix: the first characters of every key, exactly as given.
        tags: hash tags of the shards; default: one on a single server, 64 in a Cluster. Every process of an app
            has to have the same. They are noted in the store at first use; new ones may be added behind them.
        shards: how many shards there are, 1 to 64, instead of ``tags``: the first of a fixed list whose slots lie
            evenly in a Cluster, so that a larger number adds some at the end. None: as ``tags`` says.
        lease_s: lifetime of a claim without renewal, seconds.
        idle_poll_s: how often an idle worker asks the server although nothing has woken it, seconds: work that it was
            not told of (a lost message, a clock that was set) starts so much later at most. Children ask half as often.
        timeout_s: how long a call is repeated before `StoreUnavailable`, seconds.
        enqueue_timeout_s: the same for enqueueing, which may keep a visitor of a site waiting; None: 3 s, or
            ``timeout_s`` if that is less.
        durability: what must have a message before enqueueing returns, unless its task or call says otherwise:
            ``"memory"`` the master, ``"replicated"`` all of its replicas too, ``"aof"`` the files of all of them.
        durability_timeout_s: how long enqueueing waits for that before `NotDurable`, seconds; None: 2 s, or
            ``enqueue_timeout_s`` if that is less.
        replicas: how many replicas must have a message; None: all that the master, or a Sentinel, knows of. 0 with
            ``"aof"``: the file of the master only.
        result_expires_s: how long the record of a success is kept, seconds. The id stays known for 15 minutes in any
            case. Under 15 minutes, workers delete it, up to a quarter of that time or a second late, at most a minute.
        failure_expires_s: the same for every other outcome.
        ignore_result: whether the values of successes are not stored, unless a task or a call says otherwise.
        max_payload_bytes: largest envelope and largest result; from 1 MiB on one is warned of, once per task.
        serializer: how messages and results are written: ``"json"``, ``"msgpack"`` or ``"pickle"``. JSON and msgpack
            are read by every process, signed pickles only by those with ``"pickle"``.
        compression: ``"gzip"``, ``"lz4"`` or ``"zstd"``, for 1 KiB or more; read by every process.
        max_decompressed_bytes: larger data are refused; None: 16 MiB, or ``max_payload_bytes`` if that is more.
        signing_keys: secrets of 32 bytes or more; the first signs messages and results, all are accepted. An entry may
            be ``"env:NAME"`` or ``"file:/path"``, see `streamtasks.secrets`.
        encryption_keys: the same for encryption, which needs ``streamtasks[crypto]``: the first encrypts, all decrypt.
            What is encrypted is not signed as well. The same secret may stand in both.
        encrypt: False: what is encrypted is read, and not written.
        pickle_keys: secrets that only sign pickles, for a process with the serializer pickle and no signing_keys.
        require_signed: refuse messages, results and schedules that are neither signed nor encrypted with one of the
            keys.
        max_dead_letters: most dead letters of a shard; the oldest are deleted first.
        max_dead_letter_bytes: most bytes of them; the oldest are deleted first, and the newest stays in any case.
        send_events: write events of tasks into a capped stream (`Store.events`).
        log_bytes: how much is kept with a task of what its attempts log and print, from the beginning and the end;
            0: nothing.
        queue_expires_s: how long the stream of a queue that nothing is in stays after its last message came, seconds.
            The next message makes it again.
        max_events: about how many of them are kept; the oldest are deleted first.
        events_kept: about how many events are kept; 0: none are written. Follows from the others.
        wire: encodes and decodes by these settings. Follows from the others.
        enqueue_retry_s: how long enqueueing is repeated, seconds. Follows from the others.
        durability_wait_s: how long it waits for replicas and files, seconds. Follows from the others.
        max_connections: most connections of a process.
        crash_limit: crashes of a child that make a message a dead letter.
        crash_delay_s: delay after every crash but the first, seconds.
        lost_limit: most starts that end with their whole worker.
        unknown_task_delay_s: delay of a message whose task a worker does not know, seconds.
        unknown_task_limit: how often it is delayed before it becomes a dead letter.
    """

    url: str = field(default=DEFAULT_URL, repr=False)
    connection: dict[str, Any] = field(default_factory=dict, hash=False, repr=False)
    sentinel_connection: dict[str, Any] = field(default_factory=dict, hash=False, repr=False)
    key_prefix: str = "streamtasks:"
    tags: tuple[str, ...] = ONE_TAG
    shards: int | None = None
    lease_s: float = 30.0
    idle_poll_s: float = IDLE_POLL_S
    timeout_s: float = 10.0
    enqueue_timeout_s: float | None = None
    durability: Durability = MEMORY
    durability_timeout_s: float | None = None
    replicas: int | None = None
    result_expires_s: float = 86_400.0
    failure_expires_s: float = 7 * 86_400.0
    ignore_result: bool = False
    max_payload_bytes: int = 16 * 1024 * 1024
    serializer: str = "json"
    compression: str | None = None
    max_decompressed_bytes: int | None = None
    signing_keys: tuple[str | bytes, ...] = field(default=(), repr=False)
    encryption_keys: tuple[str | bytes, ...] = field(default=(), repr=False)
    encrypt: bool = True
    require_signed: bool = False
    pickle_keys: tuple[str | bytes, ...] = field(default=(), repr=False)
    max_dead_letters: int = 10_000
    max_dead_letter_bytes: int = 256 * 1024 * 1024
    log_bytes: int = 64 * 1024
    queue_expires_s: float = 7 * 86_400.0
    send_events: bool = False
    max_events: int = 10_000
    max_connections: int = 100
    crash_limit: int = 3
    crash_delay_s: float = 10.0
    lost_limit: int = 10
    unknown_task_delay_s: float = 30.0
    unknown_task_limit: int = 10
    wire: Wire = field(init=False, repr=False, compare=False)
    enqueue_retry_s: float = field(init=False, repr=False, compare=False)
    durability_wait_s: float = field(init=False, repr=False, compare=False)
    events_kept: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_prefix(self.key_prefix)
        are_default = self.shards is None and (
            self.tags.are_default if isinstance(self.tags, Tags) else self.tags is ONE_TAG
        )
        object.__setattr__(self, "tags", self._known_tags(self._chosen_tags(), are_default=are_default))
        for name in ("lease_s", "idle_poll_s", "timeout_s", "result_expires_s", "failure_expires_s", "queue_expires_s"):
            check_seconds(name, getattr(self, name), ConfigurationError)
        retry_s = self.enqueue_timeout_s
        if retry_s is None:
            retry_s = min(ENQUEUE_TIMEOUT_S, self.timeout_s)
        check_seconds("enqueue_timeout_s", retry_s, ConfigurationError)
        object.__setattr__(self, "enqueue_retry_s", retry_s)
        self._set_durability()
        for name in ("crash_delay_s", "unknown_task_delay_s"):
            check_seconds(name, getattr(self, name), ConfigurationError, above_zero=False)
        for name in ("send_events", "ignore_result", "encrypt", "require_signed"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}; it must be True or False.")
        if self.lease_s < 1:
            raise ConfigurationError(f"lease_s is {self.lease_s!r}; a lease under 1 second cannot be renewed in time.")
        for name in (
            "max_payload_bytes",
            "max_dead_letters",
            "max_dead_letter_bytes",
            "max_events",
            "max_connections",
            "crash_limit",
            "lost_limit",
            "unknown_task_limit",
        ):
            check_count(name, getattr(self, name), ConfigurationError, least=1)
        check_count("log_bytes", self.log_bytes, ConfigurationError, least=0, most=MOST_LOG_BYTES)
        if 0 < self.log_bytes < LEAST_LOG_BYTES:
            raise ConfigurationError(
                f"log_bytes is {self.log_bytes}; it must be {LEAST_LOG_BYTES} or more, or 0: none."
            )
        self._set_wire()
        object.__setattr__(self, "events_kept", self.max_events if self.send_events else 0)

    def _set_durability(self) -> None:
        check_durability("durability", self.durability, ConfigurationError)
        wait_s = self.durability_timeout_s
        if wait_s is None:
            wait_s = min(DURABILITY_TIMEOUT_S, self.enqueue_retry_s)
        check_seconds("durability_timeout_s", wait_s, ConfigurationError)
        object.__setattr__(self, "durability_wait_s", wait_s)
        if self.replicas is not None:
            check_count("replicas", self.replicas, ConfigurationError, least=0)

    def _set_wire(self) -> None:
        for name in ("signing_keys", "encryption_keys"):
            object.__setattr__(self, name, read_secrets(name, getattr(self, name)))
        most = self.max_decompressed_bytes
        if most is None:
            most = max(DEFAULT_MOST, self.max_payload_bytes)
        else:
            check_count("max_decompressed_bytes", most, ConfigurationError, least=1)
        keys = self.signing_keys or self.encryption_keys or self.require_signed
        if self.serializer == "json" and self.compression is None and most == DEFAULT_MOST and not keys:
            wire = JSON
        else:
            wire = Wire(
                self.serializer,
                self.compression,
                most,
                self.signing_keys,
                self.encryption_keys,
                encrypt=self.encrypt,
                require_signed=self.require_signed,
                pickle_keys=self.pickle_keys,
            )
        object.__setattr__(self, "wire", wire)

    @property
    def keeps_logs(self) -> bool:
        """Whether lines of attempts are kept. They would stand on the server in clear, where all else is encrypted."""
        return self.log_bytes > 0 and not self.is_sql and not (self.encryption_keys and self.encrypt)

    @property
    def log_keep_ms(self) -> int:
        """How long lines of an unfinished task are kept after the last one, or its last look, ms."""
        return max(self.keep_ms(success=True), self.keep_ms(success=False))

    @property
    def is_memory(self) -> bool:
        """Whether the store is in the memory of this process."""
        return self.url.startswith("memory://")

    @property
    def is_sql(self) -> bool:
        """Whether the store is in tables of a database that a Django project names."""
        return self.url.startswith("django://")

    @property
    def is_redis(self) -> bool:
        """Whether the store is on servers of Redis or Valkey."""
        return not self.is_memory and not self.is_sql

    @property
    def is_sentinel(self) -> bool:
        """Whether Sentinels say which server is the master."""
        return self.url.startswith(("redis+sentinel://", "rediss+sentinel://"))

    def _chosen_tags(self) -> tuple[str, ...]:
        if self.shards is None:
            return ALL_TAGS if self.tags is ONE_TAG and self.is_cluster else check_tags(self.tags)
        check_count("shards", self.shards, ConfigurationError, least=1, most=len(ALL_TAGS))
        tags = ALL_TAGS[: self.shards]
        is_copy = isinstance(self.tags, Tags) and self.tags[: self.shards] == tags  # it may have grown
        if self.tags is not ONE_TAG and self.tags != tags and not is_copy:
            raise ConfigurationError(f"shards is {self.shards} and tags are {self.tags!r}; give only one of them.")
        return tags

    def _known_tags(self, tags: tuple[str, ...], *, are_default: bool) -> Tags:
        grown = _followed.get((self.url, self.key_prefix), ())
        if grown[: len(tags)] == tags:
            tags = grown
        made = Tags(tags, are_default=are_default)
        return _tags.setdefault((self.url, self.key_prefix, tags, are_default), made) if len(tags) > 1 else made

    def follow_shards(self, noted: tuple[str, ...] = ()) -> None:
        """Let the list of shards grow in this process, and in those that it forks; for workers.

        Settings of this store that are made from now on, also copies, have all shards that are known by then. Those
        that exist keep theirs, and their stores go on with them.

        Args:
            noted: the list of the store; it begins with the shards of these settings. Empty: it is as yet the same.
        """
        known = _followed.get((self.url, self.key_prefix), self.tags)
        _followed[self.url, self.key_prefix] = max(tuple(known), noted, key=len)

    @property
    def follows_shards(self) -> bool:
        """Whether the list of shards may be longer on the server, see `follow_shards`."""
        return (self.url, self.key_prefix) in _followed

    @property
    def is_cluster(self) -> bool:
        """Whether the store is a Redis Cluster."""
        return self.url.startswith(("redis+cluster://", "rediss+cluster://"))

    @property
    def shown_url(self) -> str:
        """The URL for messages: without user, password and query."""
        scheme, _, rest = self.url.partition("://")
        place, _, query = rest.partition("?")
        _, at, host = place.rpartition("@")
        if "@" in query or "#" in rest:  # a password with such a character that is not encoded?
            return f"{scheme}://..."
        if at:
            return f"{scheme}://...@{host}"
        return f"{scheme}://{place}" if rest else scheme

    @property
    def lease_ms(self) -> int:
        """The lease in milliseconds."""
        return round(self.lease_s * 1000)

    @property
    def queue_expires_ms(self) -> int:
        """How long the empty stream of a queue stays, ms."""
        return round(self.queue_expires_s * 1000)

    def keep_ms(self, *, success: bool) -> int:
        """Return how long a record is kept, ms."""
        expires_s = self.result_expires_s if success else self.failure_expires_s
        return round(max(expires_s, MIN_DEDUP_S) * 1000)

    @property
    def index_keep_ms(self) -> int:
        """How long the events of an hour stay listed after it, ms: a day longer than the longest record."""
        return max(self.keep_ms(success=True), self.keep_ms(success=False)) + 86_400_000
