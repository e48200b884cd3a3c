"""The model registry: immutable versions, pointers to those in service, an audit log, rollback.

::

    <registry>/versions/<version>/…              what is served, plus version.json
    <registry>/champion.json, canary.json, …     what serves (serving/pointers.py)
    <registry>/audit.jsonl                       who changed what, when and why

Every change is recorded before it is made: a kill in between leaves a note too many, never a silent
change.
"""

from pathlib import Path

from counterpoint.errors import ConfigError
from serving.pointers import Canary, PointerFiles, Pointers
from serving.version import Version
from serving.version_store import VersionStore


class Registry(VersionStore):
    """A registry at a local path or any fsspec URL.

    Args:
        root: ``var/registry``, ``s3://bucket/registry``, …
    """

    def __init__(self, root: str | Path) -> None:
        super().__init__(root)
        self._files = PointerFiles(self._storage)

    def champion(self) -> Version | None:
        """Return the version in service, if there is one."""
        pointed = self._files.champion()
        return self.get(pointed[0]) if pointed else None

    def pointers(self) -> Pointers | None:
        """Return what serves: champion, canary, shadow; nothing while there is no champion.

        Raises:
            DataError: A pointer file is damaged.
        """
        return self._files.all()

    def promote(self, version: str, *, why: str) -> None:
        """Make a version the champion; a canary or shadow of it ends.

        Raises:
            ConfigError: There is no such version.
            DataError: The version is damaged; the champion stays.
        """
        with self._storage.locked(), self.open(version):
            pointed = self._files.champion()
            if pointed is not None and pointed[0] == version:
                return
            former = [*pointed[1], pointed[0]] if pointed else []
            self.record("promote", version, why)
            self._files.set_champion(version, former)

    def rollback(self, version: str | None = None, *, why: str) -> Version:
        """Return to the champion before the present one, or to a named version.

        Raises:
            ConfigError: There is no such version, or no former champion.
            DataError: The version is damaged; the champion stays.
        """
        with self._storage.locked():
            target = version or self.former()
            pointed = self._files.champion()
            former = pointed[1] if pointed else []
            with self.open(target):
                if target in former:
                    former = former[: len(former) - 1 - former[::-1].index(target)]
                elif pointed is not None and pointed[0] != target:
                    former = [*former, pointed[0]]
                self.record("rollback", target, why)
                self._files.set_champion(target, former)
        return self.get(target)

    def former(self) -> str:
        """Return the champion before the present one.

        Raises:
            ConfigError: There is none.
        """
        pointed = self._files.champion()
        if pointed is None or not pointed[1]:
            raise ConfigError(
                [
                    f"{self._storage.root} has no former champion to roll back to. Name a "
                    f"version: {', '.join(v.version for v in self.versions()) or 'none yet'}."
                ]
            )
        return pointed[1][-1]

    def canary(self, version: str, share: float, *, why: str, salt: str | None = None) -> Canary:
        """Have a version answer a share of the users, or change the share of the present canary.

        Args:
            version: A version that is not the champion.
            share: Above 0, at most 1.
            why: Reason, for the audit log.
            salt: Chooses the users; default that of the running canary of the same version (its
                users stay with it while the share grows), else the version's name.

        Raises:
            ConfigError: There is no such version, no champion, or the share is out of range.
            DataError: The version is damaged; the canary stays.
        """
        if not 0 < share <= 1:
            raise ConfigError(
                [
                    f"Share {share:g} is out of range; a canary answers more than 0 and at most 1 "
                    f"of the users (0.05 is one in twenty). To end it: counterpoint models "
                    f"stop-canary."
                ]
            )
        with self._storage.locked(), self.open(version):
            self._beside_champion(version, "canary")
            running = self._files.canary()
            if salt is None:
                kept = running is not None and running.version == version
                salt = running.salt if running is not None and kept else version
            wanted = Canary(version, share, salt)
            if wanted != running:
                self.record("canary", version, f"{why} (share {share:g}, salt {salt})")
                self._files.set_canary(wanted)
        return wanted

    def shadow(self, version: str, *, why: str) -> None:
        """Have a version answer copies of the requests, only to be logged.

        Raises:
            ConfigError: There is no such version, or no champion, or it is the champion.
            DataError: The version is damaged; the shadow stays.
        """
        with self._storage.locked(), self.open(version):
            self._beside_champion(version, "shadow")
            if self._files.shadow() != version:
                self.record("shadow", version, why)
                self._files.set_shadow(version)

    def load(self, version: str, *, why: str) -> None:
        """Have servers hold a version in memory, so that a later swap to it is instant.

        Raises:
            ConfigError: There is no such version, or no champion, or it is the champion.
            DataError: The version is damaged.
        """
        with self._storage.locked(), self.open(version):
            self._beside_champion(version, "loaded version")
            held = self._files.loaded()
            if version not in held:
                self.record("load", version, why)
                self._files.set_loaded([*held, version])

    def unload(self, version: str, *, why: str) -> None:
        """No longer hold a version in memory that has no role.

        Raises:
            ConfigError: It is not held.
        """
        with self._storage.locked():
            held = self._files.loaded()
            if version not in held:
                raise ConfigError(
                    [
                        f"{version!r} is not among the loaded versions of {self._storage.root}: "
                        f"{', '.join(held) or 'none'}."
                    ]
                )
            self.record("unload", version, why)
            self._files.set_loaded([name for name in held if name != version])

    def end_canary(self, *, why: str) -> str:
        """End the canary and return its version.

        Raises:
            ConfigError: There is none.
        """
        with self._storage.locked():
            running = self._files.canary()
            if running is None:
                raise ConfigError([f"{self._storage.root} has no canary to stop."])
            self.record("end canary", running.version, why)
            self._files.set_canary(None)
        return running.version

    def end_shadow(self, *, why: str) -> str:
        """End the shadow and return its version.

        Raises:
            ConfigError: There is none.
        """
        with self._storage.locked():
            running = self._files.shadow()
            if running is None:
                raise ConfigError([f"{self._storage.root} has no shadow to stop."])
            self.record("end shadow", running, why)
            self._files.set_shadow(None)
        return running

    def refuse(self, version: str, *, why: str) -> None:
        """Note that a version may not serve; the champion stays."""
        with self._storage.locked():
            self.record("refuse", version, why)

    def status(self, version: str) -> str:
        """Return ``champion``, ``canary <share>``, ``shadow``, ``loaded``, ``former``, ….

        ``refused`` failed its smoke test, ``staged`` has never served.
        """
        pointers = self._files.all()
        if pointers is not None and version == pointers.champion:
            return "champion"
        if pointers is not None and pointers.canary and version == pointers.canary.version:
            return f"canary {pointers.canary.share:g}"
        if pointers is not None and version == pointers.shadow:
            return "shadow"
        if pointers is not None and version in pointers.loaded:
            return "loaded"
        actions = [e["action"] for e in self.audit() if e["version"] == version]
        if actions and actions[-1] == "refuse":
            return "refused"
        return "former" if {"promote", "rollback"} & set(actions) else "staged"

    def _beside_champion(self, version: str, role: str) -> None:
        pointed = self._files.champion()
        if pointed is None or pointed[0] == version:
            state = "has no champion" if pointed is None else f"has {version} as its champion"
            raise ConfigError(
                [
                    f"{self._storage.root} {state}: a {role} is another version beside the "
                    f"champion. Known: {', '.join(v.version for v in self.versions())}."
                ]
            )
