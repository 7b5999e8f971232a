"""A stand-in for the parts of pywin32 that are used: a service control manager in memory."""
# ruff: noqa: N802 - the names are those of pywin32

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

HKEY_LOCAL_MACHINE = "HKLM"


class PywinError(Exception):
    """As `pywintypes.error`."""

    def __init__(self, winerror: int, strerror: str = "") -> None:
        super().__init__(winerror, strerror)
        self.winerror, self.strerror = winerror, strerror


def _stopped() -> dict[str, int]:
    names = ("CheckPoint", "WaitHint", "ProcessId", "Win32ExitCode", "ServiceSpecificExitCode")
    return {"CurrentState": 1, **dict.fromkeys(names, 0)}


@dataclass
class Installed:
    """A service in the stand-in's registry."""

    arguments: tuple[Any, ...]
    config: dict[int, Any] = field(default_factory=dict[int, Any])
    status: dict[str, int] = field(default_factory=_stopped)
    coming: list[dict[str, int]] = field(default_factory=list[dict[str, int]])
    """What later looks at the status find, one after the other."""


class Windows:
    """The machine. `fails` makes a function raise this error of Windows."""

    def __init__(self) -> None:
        self.services: dict[str, Installed] = {}
        self.registry: dict[str, dict[str, Any]] = {}
        self.sources: set[str] = set()
        self.rights: dict[str, str] = {}
        self.allowed: list[str] = []
        self.events: list[tuple[str, str]] = []
        self.reports: list[tuple[int, ...]] = []
        self.fails: dict[str, int] = {}
        self.after_control: list[dict[str, int]] = []
        self.dispatch: Callable[[Any], object] = id
        self.on_report: Callable[[tuple[int, ...]], object] = id
        self.hosted: Any = None
        self.handler: Callable[[int, int, object], int] | None = None
        self.win32service = Win32Service(self)
        self.modules: dict[str, Any] = {
            "win32service": self.win32service,
            "win32evtlogutil": SimpleNamespace(
                AddSourceToRegistry=self.add_source, RemoveSourceFromRegistry=self.remove_source
            ),
            "win32security": Win32Security(self),
            "winreg": WinReg(self),
            "servicemanager": ServiceManager(self),
        }

    def may_fail(self, name: str) -> None:
        """Raise what the test wants this function to fail with."""
        if name in self.fails:
            raise PywinError(self.fails[name], name)

    def add_source(self, name: str, file: str, kind: str) -> None:
        assert (file.endswith(".pyd"), kind) == (True, "Application")
        self.sources.add(name)

    def remove_source(self, name: str, kind: str) -> None:
        assert kind == "Application"
        self.sources.discard(name)


class Win32Service:
    """The service control manager."""

    SERVICE_CONFIG_DESCRIPTION = 1
    SERVICE_CONFIG_FAILURE_ACTIONS = 2
    SERVICE_CONFIG_DELAYED_AUTO_START_INFO = 3
    SERVICE_CONFIG_FAILURE_ACTIONS_FLAG = 4
    SERVICE_CONFIG_SERVICE_SID_INFO = 5
    SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO = 6
    SERVICE_CONFIG_PRESHUTDOWN_INFO = 7

    def __init__(self, machine: Windows) -> None:
        self._machine = machine

    def OpenSCManager(self, host: None, database: None, access: int) -> str:
        del host, database, access
        self._machine.may_fail("OpenSCManager")
        return "manager"

    def CreateService(self, *arguments: Any) -> Installed:
        if arguments[1] in self._machine.services:
            raise PywinError(1073)
        made = self._machine.services[arguments[1]] = Installed(arguments)
        return made

    def OpenService(self, manager: str, name: str, access: int) -> Installed:
        del manager, access
        if name not in self._machine.services:
            raise PywinError(1060)
        return self._machine.services[name]

    def CloseServiceHandle(self, handle: object) -> None:
        pass

    def ChangeServiceConfig2(self, one: Installed, what: int, value: object) -> None:
        self._machine.may_fail("ChangeServiceConfig2")
        one.config[what] = value

    def QueryServiceStatusEx(self, one: Installed) -> dict[str, int]:
        if one.coming:
            one.status |= one.coming.pop(0)
        return one.status

    def QueryServiceConfig(self, one: Installed) -> tuple[Any, ...]:
        given = one.arguments
        return 0x10, given[5], 1, given[7], "", 0, None, given[11], given[2]

    def QueryServiceConfig2(self, one: Installed, what: int) -> object:
        return one.config.get(what, False)

    def StartService(self, one: Installed, arguments: None) -> None:
        del one, arguments
        self._machine.may_fail("StartService")

    def ControlService(self, one: Installed, code: int) -> None:
        assert code == 1
        if one.status["CurrentState"] == 1:
            raise PywinError(1062)
        one.coming = list(self._machine.after_control)

    def DeleteService(self, one: Installed) -> None:
        left = {name: kept for name, kept in self._machine.services.items() if kept is not one}
        self._machine.services = left

    def SetServiceStatus(self, handle: str, status: tuple[int, ...]) -> None:
        assert handle == "handle of Chargehand"
        self._machine.reports.append(status)
        self._machine.on_report(status)


class Win32Security:
    """Accounts and rights."""

    SDDL_REVISION_1 = SE_FILE_OBJECT = 1
    DACL_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION = 0x4, 0x80000000
    POLICY_CREATE_ACCOUNT, POLICY_LOOKUP_NAMES = 0x10, 0x800

    def __init__(self, machine: Windows) -> None:
        self._machine = machine

    def ConvertStringSecurityDescriptorToSecurityDescriptor(self, text: str, revision: int) -> Any:
        assert revision == self.SDDL_REVISION_1
        return SimpleNamespace(GetSecurityDescriptorDacl=text.__str__)

    def SetNamedSecurityInfo(self, path: str, kind: int, what: int, *parts: Any) -> None:
        self._machine.may_fail("SetNamedSecurityInfo")
        assert (kind, what & self.PROTECTED_DACL_SECURITY_INFORMATION) == (1, 0x80000000)
        self._machine.rights[path] = parts[2]

    def LookupAccountName(self, system: None, name: str) -> tuple[str, str, int]:
        del system
        self._machine.may_fail("LookupAccountName")
        return f"sid of {name}", "", 1

    def ConvertSidToStringSid(self, sid: str) -> str:
        return f"S-1-5-21-{len(sid)}"

    def LsaOpenPolicy(self, system: None, access: int) -> str:
        del system, access
        return "policy"

    def LsaAddAccountRights(self, policy: str, sid: str, rights: tuple[str, ...]) -> None:
        assert policy == "policy"
        self._machine.allowed += [sid, *rights]

    def LsaClose(self, policy: str) -> None:
        pass


class Key(dict[str, Any]):
    """A key of the registry."""

    def __enter__(self) -> "Key":
        return self

    def __exit__(self, *what: object) -> None:
        pass


class WinReg:
    """The registry."""

    HKEY_LOCAL_MACHINE, KEY_SET_VALUE, REG_MULTI_SZ = HKEY_LOCAL_MACHINE, 2, 7

    def __init__(self, machine: Windows) -> None:
        self._machine = machine

    def OpenKey(self, root: str, key: str, zero: int, access: int) -> Key:
        assert (root, zero, access) == ("HKLM", 0, 2)
        opened = self._machine.registry[key] = Key()
        return opened

    def SetValueEx(self, key: Key, name: str, zero: int, kind: int, value: list[str]) -> None:
        assert (zero, kind) == (0, self.REG_MULTI_SZ)
        key[name] = value


class ServiceManager:
    """The module by which a process is a service."""

    __file__ = r"C:\venv\servicemanager.pyd"

    def __init__(self, machine: Windows) -> None:
        self._machine = machine

    def Initialize(self, name: str, file: str) -> None:
        assert (name, file) == ("Chargehand", self.__file__)

    def PrepareToHostSingle(self, hosted: Any) -> None:
        self._machine.hosted = hosted

    def StartServiceCtrlDispatcher(self) -> None:
        self._machine.may_fail("StartServiceCtrlDispatcher")
        self._machine.dispatch(self._machine.hosted)

    def RegisterServiceCtrlHandler(
        self, name: str, handler: Callable[[int, int, object], int], extended: bool
    ) -> str:
        assert extended
        self._machine.handler = handler
        return f"handle of {name}"

    def LogInfoMsg(self, text: str) -> None:
        self._machine.events.append(("info", text))

    def LogErrorMsg(self, text: str) -> None:
        self._machine.events.append(("error", text))
