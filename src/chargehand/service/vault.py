"""Envelope encryption: each tenant's values are sealed with its data key, and data keys are wrapped by a master key.

    sealed = await vault.seal(tx, who.tenant, "webhook", endpoint_id, secret)
    secret = await vault.open(tx, who.tenant, "webhook", endpoint_id, sealed)

Rule: a sealed value opens only for the tenant, kind, id and version that it was sealed for; so a row that is copied to
another place says nothing there. Master keys are in no row; each record names the key that it was sealed with.
"""

from dataclasses import dataclass

from chargehand.clock import Clock
from chargehand.domain.access import Principal, Scope
from chargehand.domain.audit import Action
from chargehand.errors import ContentDamaged, MasterKeyMissing, Unavailable
from chargehand.service.audit_records import record
from chargehand.service.master_keys import MasterKey, MasterKeySources, text_of
from chargehand.service.sealing import KEY_BYTES, Seal
from chargehand.store import data_keys
from chargehand.store.data_keys import WrappedKey
from chargehand.store.database import Database, Tx, retried
from chargehand.store.secret_files import write_secret

FORMAT = 1
ID_BYTES = 8
MOST_CACHED = 1024
KEYS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """How many data keys are now wrapped by the first master key that were not before, and which one that is."""

    data_keys: int
    master_key_id: str


class Vault:
    """Seals and opens. `check` comes first: it reads the master keys and proves that they fit the rows."""

    def __init__(self, db: Database, clock: Clock, sources: MasterKeySources, *, is_shared: bool) -> None:
        """`is_shared`: processes with other data folders may be at work on this database."""
        self._db = db
        self._clock = clock
        self._sources = sources
        self._is_shared = is_shared
        self._is_checked = False
        self._first: MasterKey | None = None
        self._masters: dict[str, MasterKey] = {}
        self._seals: dict[str, Seal] = {}

    @retried
    async def check(self) -> None:
        """Read the master keys; open one data key of each. A single folder gets a key when nothing depends on one.

        InvalidInput names a setting that is wrong; MasterKeyMissing says which key the rows need; ContentDamaged.
        """
        configured, own = self._sources.configured(), self._sources.own()
        async with self._db.glance() as tx:
            samples = await data_keys.one_of_each_master_key(tx)
        if not configured and not own and not self._is_shared and not samples:
            own = [MasterKey(self._clock.token_bytes(KEY_BYTES))]
            write_secret(self._sources.own_file, text_of(own))
        # With other hosts around, what is in this host's folder must not become what they all depend on.
        sealing = configured or ([] if self._is_shared else own)
        self._first = sealing[0] if sealing else None
        self._masters = {key.id: key for key in (*configured, *own)}
        self._is_checked = True
        for sample in samples:
            self._unwrapped(sample)

    async def seal(
        self, tx: Tx, tenant: str, kind: str, id: str, plaintext: bytes, *, version: int = 1
    ) -> bytes:
        """For a row of this transaction. MasterKeyMissing when the service has no key to seal with."""
        key = await data_keys.newest(tx, tenant) or await self._new_data_key(tx, tenant)
        sealed = self._seal_of(key).seal(plaintext, tenant, kind, id, version, key.id, chance=self._clock)
        return bytes([FORMAT]) + bytes.fromhex(key.id) + sealed

    async def open(
        self, tx: Tx, tenant: str, kind: str, id: str, sealed: bytes, *, version: int = 1
    ) -> bytes:
        """What was sealed for this tenant, kind, id and version. ContentDamaged when it was for another, or changed."""
        if sealed[:1] != bytes([FORMAT]):
            raise ContentDamaged(
                f"the sealed value of {kind} {id!r} is of a format that this version cannot read"
            )
        key_id = sealed[1 : 1 + ID_BYTES].hex()
        seal = self._seals.get(f"{tenant} {key_id}")
        if seal is None:
            key = await data_keys.get(tx, tenant, key_id)
            if key is None:
                raise ContentDamaged(
                    f"the data key that {kind} {id!r} was sealed with is gone; restore a backup"
                )
            seal = self._seal_of(key)
        return seal.open(sealed[1 + ID_BYTES :], tenant, kind, id, version, key_id)

    async def rewrap(self, who: Principal) -> Rewrapped:
        """Wrap every tenant's data key that another master key wraps by the first one; then the others may go."""
        who.require(Scope.ADMIN_SERVICE)
        first = self._sealing_key()
        done, after = 0, ""
        while keys := await self._rewrap_some(who, first, after):
            done, after = done + len(keys), keys[-1].id
        return Rewrapped(data_keys=done, master_key_id=first.id)

    @retried
    async def _rewrap_some(self, who: Principal, first: MasterKey, after: str) -> list[WrappedKey]:
        async with self._db.write() as tx:
            held = await data_keys.wrapped_otherwise(tx, first.id, after=after, limit=KEYS_AT_ONCE)
            fresh = [self._wrapped(key.tenant, key.id, self._unwrapped(key), first) for key in held]
            await data_keys.rewrap(tx, fresh)
            if fresh:
                await record(tx, who, Action.MASTER_KEY_REWRAPPED, first.id, {"data_keys": len(fresh)})
        return fresh

    async def _new_data_key(self, tx: Tx, tenant: str) -> WrappedKey:
        """Two processes may both make a first one for a tenant; each opens what it sealed, and the newest seals on."""
        key = self._wrapped(
            tenant,
            self._clock.token_bytes(ID_BYTES).hex(),
            self._clock.token_bytes(KEY_BYTES),
            self._sealing_key(),
        )
        await data_keys.add(tx, key)
        return key

    def _sealing_key(self) -> MasterKey:
        if self._first is None:
            self._require_checked()
            raise MasterKeyMissing(
                f"there is no master key to encrypt secrets with; {self._sources.advice()}, and restart"
            )
        return self._first

    def _wrapped(self, tenant: str, key_id: str, secret: bytes, master: MasterKey) -> WrappedKey:
        wrapped = Seal.of(master.secret).seal(secret, "data key", tenant, key_id, chance=self._clock)
        return WrappedKey(id=key_id, tenant=tenant, master_key_id=master.id, wrapped=wrapped)

    def _unwrapped(self, key: WrappedKey) -> bytes:
        master = self._masters.get(key.master_key_id)
        if master is None:
            self._require_checked()
            raise MasterKeyMissing(
                f"secrets are stored that need the master key {key.master_key_id}, which is not there: restore"
                f" {self._sources.own_file}, or {self._sources.advice()}; docs/guide/secrets.md says what to do when"
                " it is lost"
            )
        return Seal.of(master.secret).open(key.wrapped, "data key", key.tenant, key.id)

    def _seal_of(self, key: WrappedKey) -> Seal:
        place = f"{key.tenant} {key.id}"
        seal = self._seals.get(place)
        if seal is None:
            if len(self._seals) >= MOST_CACHED:
                self._seals.clear()
            seal = self._seals[place] = Seal.of(self._unwrapped(key))
        return seal

    def _require_checked(self) -> None:
        if not self._is_checked:
            raise Unavailable("the service has not read its master keys yet; call check first")
