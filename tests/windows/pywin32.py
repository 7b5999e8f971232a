"""A stand-in for the parts of pywin32 that are used: a service control manager in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace, TracebackType
from typing import Any


class PywinError(Exception):
    """As `pywintypes.error`."""

    def __init__(self, winerror: int, strerror: str = "") -> None:
        super().__init__(winerror, strerror)
        self.winerror, self.strerror = winerror, strerror


@dataclass
class Installed:
    """A service in the stand-in's registry."""

    arguments: tuple[Any, ...]
    config: dict[int, Any] = field(default_factory=dict[int, Any])
    status: dict[str, int] = field(
        default_factory=lambda: {
            "CurrentState": 1, "CheckPoint": 0, "WaitHint": 0, "ProcessId": 0,
            "Win32ExitCode": 0, "ServiceSpecificExitCode": 0,
        }
    )  # fmt: skip
    coming: list[dict[str, int]] = field(default_factory=list[dict[str, int]])
    """What later looks at the status find, one after the other."""


class RegistryKey:
    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def __enter__(self) -> dict[str, Any]:
        return self.values

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        pass


class Windows:
    """The machine. `modules` go into sys.modules; `fails` makes a function raise this error of Windows."""

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
        self.dispatch: Callable[[Any], None] = lambda hosted: None
        self._hosted: Any = None
        self.handler: Callable[[int, int, object], int] = lambda control, kind, data: 0

    @property
    def modules(self) -> dict[str, Any]:
        constants = {
            name: number
            for number, name in enumerate(
                (
                    "SERVICE_CONFIG_DESCRIPTION", "SERVICE_CONFIG_FAILURE_ACTIONS",
                    "SERVICE_CONFIG_FAILURE_ACTIONS_FLAG", "SERVICE_CONFIG_SERVICE_SID_INFO",
                    "SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO", "SERVICE_CONFIG_PRESHUTDOWN_INFO",
                    "SERVICE_CONFIG_DELAYED_AUTO_START_INFO",
                ),
                1,
            )
        }  # fmt: skip
        return {
            "win32service": SimpleNamespace(
                OpenSCManager=self._named("OpenSCManager", lambda *_: "manager"),
                CreateService=self._named("CreateService", self._create),
                OpenService=self._named("OpenService", self._open),
                CloseServiceHandle=lambda handle: None,
                ChangeServiceConfig2=self._named(
                    "ChangeServiceConfig2", lambda one, what, value: one.config.__setitem__(what, value)
                ),
                QueryServiceStatusEx=self._look,
                QueryServiceConfig=lambda one: (
                    0x10, one.arguments[5], 1, one.arguments[7], "", 0, None, one.arguments[11], one.arguments[2],
                ),
                QueryServiceConfig2=lambda one, what: one.config.get(what, False),
                StartService=self._named("StartService", lambda one, arguments: None),
                ControlService=self._named("ControlService", self._control),
                DeleteService=self._delete,
                SetServiceStatus=lambda handle, status: self.reports.append(status),
                **constants,
            ),
            "win32evtlogutil": SimpleNamespace(
                AddSourceToRegistry=lambda name, file, kind: self.sources.add(name),
                RemoveSourceFromRegistry=lambda name, kind: self.sources.discard(name),
            ),
            "win32security": SimpleNamespace(
                SDDL_REVISION_1=1, SE_FILE_OBJECT=1, DACL_SECURITY_INFORMATION=4,
                PROTECTED_DACL_SECURITY_INFORMATION=0x80000000, POLICY_CREATE_ACCOUNT=0x10,
                POLICY_LOOKUP_NAMES=0x800,
                ConvertStringSecurityDescriptorToSecurityDescriptor=lambda text, revision: SimpleNamespace(
                    GetSecurityDescriptorDacl=lambda: text
                ),
                SetNamedSecurityInfo=self._named(
                    "SetNamedSecurityInfo",
                    lambda path, kind, what, o, g, dacl, s: self.rights.__setitem__(path, dacl),
                ),
                LookupAccountName=self._named("LookupAccountName", lambda system, name: (f"sid of {name}", "", 1)),
                ConvertSidToStringSid=lambda sid: f"S-1-5-21-{len(sid)}",
                LsaOpenPolicy=lambda system, access: "policy",
                LsaAddAccountRights=lambda policy, sid, rights: self.allowed.extend((sid, *rights)),
                LsaClose=lambda policy: None,
            ),
            "winreg": SimpleNamespace(
                HKEY_LOCAL_MACHINE="HKLM", KEY_SET_VALUE=2, REG_MULTI_SZ=7,
                OpenKey=lambda root, key, zero, access: RegistryKey(self.registry.setdefault(key, {})),
                SetValueEx=lambda key, name, zero, kind, value: key.__setitem__(name, value),
            ),
            "servicemanager": SimpleNamespace(
                __file__=r"C:\venv\servicemanager.pyd",
                Initialize=lambda name, file: None,
                PrepareToHostSingle=lambda hosted: setattr(self, "_hosted", hosted),
                StartServiceCtrlDispatcher=self._named(
                    "StartServiceCtrlDispatcher", lambda: self.dispatch(self._hosted)
                ),
                RegisterServiceCtrlHandler=self._register,
                LogInfoMsg=lambda text: self.events.append(("info", text)),
                LogErrorMsg=lambda text: self.events.append(("error", text)),
            ),
        }  # fmt: skip

    def _named(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            if name in self.fails:
                raise PywinError(self.fails[name], name)
            return work(*arguments)

        return called

    def _register(self, name: str, handler: Callable[[int, int, object], int], extended: bool) -> str:
        assert extended
        self.handler = handler
        return f"handle of {name}"

    def _create(self, *arguments: Any) -> Installed:
        if arguments[1] in self.services:
            raise PywinError(1073)
        made = self.services[arguments[1]] = Installed(arguments)
        return made

    def _open(self, manager: str, name: str, access: int) -> Installed:
        if name not in self.services:
            raise PywinError(1060)
        return self.services[name]

    def _look(self, one: Installed) -> dict[str, int]:
        if one.coming:
            one.status |= one.coming.pop(0)
        return one.status

    def _control(self, one: Installed, code: int) -> None:
        if one.status["CurrentState"] == 1:
            raise PywinError(1062)
        one.coming = list(self.after_control)

    def _delete(self, one: Installed) -> None:
        self.services = {name: kept for name, kept in self.services.items() if kept is not one}
