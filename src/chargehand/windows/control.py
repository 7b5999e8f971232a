"""Asks the service control manager: install, start, stop, tell, remove. Tried only against a stand-in of pywin32."""

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chargehand.errors import ChargehandError, Unavailable
from chargehand.windows.accounts import folder_rights, service_sid
from chargehand.windows.lifecycle import Control, Progress, State
from chargehand.windows.plan import (
    DESCRIPTION,
    PRIVILEGES,
    RESET_PERIOD_SECONDS,
    RESTART_DELAYS_SECONDS,
    InstallPlan,
    StartType,
)
from chargehand.windows.win32 import told, win32

OWN_PROCESS, AUTO_START, DEMAND_START, ERROR_NORMAL = 0x10, 2, 3, 1
CONNECT, CREATE, ALL_ACCESS = 0x1, 0x2, 0xF01FF
QUERY, START, STOP, DELETE = 0x5, 0x10, 0x20, 0x10000
RESTART = 1
"""The recovery action that starts the service again."""
UNRESTRICTED_SID = 1
LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A service that is installed."""

    state: State
    pid: int
    exit_code: int
    account: str
    start: StartType
    command: str


def install(plan: InstallPlan, password: str | None) -> None:
    """Make what the plan says. What Windows refuses is told with the way out; a service half made is taken away."""
    service = win32("win32service")
    # First, so that a missing part is told before anything is made.
    events = win32("win32evtlogutil")
    source = win32("servicemanager").__file__
    if plan.account.needs_logon_right:
        _allow_logon(plan)
    Path(str(plan.data_dir)).mkdir(parents=True, exist_ok=True)
    with _manager(plan.name, CONNECT | CREATE) as manager:
        made = service.CreateService(
            manager,
            plan.name,
            "Chargehand" if plan.name == "Chargehand" else f"Chargehand ({plan.name})",
            ALL_ACCESS,
            OWN_PROCESS,
            DEMAND_START if plan.start is StartType.MANUAL else AUTO_START,
            ERROR_NORMAL,
            plan.command,
            None,
            0,
            None,
            plan.account.name,
            password,
        )
        try:
            _configure(service, made, plan)
            _set_environment(plan)
            _protect(plan)
            events.AddSourceToRegistry(plan.name, source, "Application")
        except BaseException:
            service.DeleteService(made)
            raise
        finally:
            service.CloseServiceHandle(made)


def _configure(service: Any, made: object, plan: InstallPlan) -> None:
    actions = [(RESTART, seconds * 1000) for seconds in RESTART_DELAYS_SECONDS]
    failure: Mapping[str, object] = {
        "ResetPeriod": RESET_PERIOD_SECONDS,
        "RebootMsg": None,
        "Command": None,
        "Actions": actions,
    }
    changes: list[tuple[int, object]] = [
        (service.SERVICE_CONFIG_DESCRIPTION, DESCRIPTION),
        (service.SERVICE_CONFIG_FAILURE_ACTIONS, failure),
        # Also when it ends with an error of its own, not only when it crashes.
        (service.SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, True),
        (service.SERVICE_CONFIG_SERVICE_SID_INFO, UNRESTRICTED_SID),
        (service.SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO, PRIVILEGES),
        (service.SERVICE_CONFIG_PRESHUTDOWN_INFO, int(plan.stop_seconds * 1000)),
    ]
    if plan.start is not StartType.MANUAL:
        delayed = plan.start is StartType.DELAYED
        changes.append((service.SERVICE_CONFIG_DELAYED_AUTO_START_INFO, delayed))
    for what, value in changes:
        service.ChangeServiceConfig2(made, what, value)


def _set_environment(plan: InstallPlan) -> None:
    registry = win32("winreg")
    key = rf"SYSTEM\CurrentControlSet\Services\{plan.name}"
    with registry.OpenKey(registry.HKEY_LOCAL_MACHINE, key, 0, registry.KEY_SET_VALUE) as opened:
        registry.SetValueEx(opened, "Environment", 0, registry.REG_MULTI_SZ, list(plan.environment))


def _sid_text(plan: InstallPlan) -> str:
    security = win32("win32security")
    if plan.account.name.casefold() == f"nt service\\{plan.name}".casefold():
        return service_sid(plan.name)
    sid, _, _ = security.LookupAccountName(None, plan.account.name.removeprefix(".\\"))
    return security.ConvertSidToStringSid(sid)


def _protect(plan: InstallPlan) -> None:
    security = win32("win32security")
    rights = folder_rights(_sid_text(plan))
    described = security.ConvertStringSecurityDescriptorToSecurityDescriptor(rights, security.SDDL_REVISION_1)
    what = security.DACL_SECURITY_INFORMATION | security.PROTECTED_DACL_SECURITY_INFORMATION
    security.SetNamedSecurityInfo(
        str(plan.data_dir),
        security.SE_FILE_OBJECT,
        what,
        None,
        None,
        described.GetSecurityDescriptorDacl(),
        None,
    )


def _allow_logon(plan: InstallPlan) -> None:
    security = win32("win32security")
    with _telling(plan.name):
        sid, _, _ = security.LookupAccountName(None, plan.account.name.removeprefix(".\\"))
        access = security.POLICY_CREATE_ACCOUNT | security.POLICY_LOOKUP_NAMES
        policy = security.LsaOpenPolicy(None, access)
        try:
            security.LsaAddAccountRights(policy, sid, ("SeServiceLogonRight",))
        finally:
            security.LsaClose(policy)


def start(name: str) -> None:
    """Start it and return when it answers. Unavailable when it ends or hangs instead."""
    service = win32("win32service")
    with _opened(name, QUERY | START) as opened:
        service.StartService(opened, None)
        _until(service, opened, name, State.RUNNING, State.START_PENDING)


def stop(name: str) -> None:
    """Ask it to stop and return when it has: what it carries is given back."""
    service = win32("win32service")
    with _opened(name, QUERY | STOP) as opened:
        _stop(service, opened, name)


def _stop(service: Any, opened: object, name: str) -> None:
    service.ControlService(opened, int(Control.STOP))
    _until(service, opened, name, State.STOPPED, State.STOP_PENDING)


def standing(name: str) -> Standing:
    """How it stands."""
    service = win32("win32service")
    with _opened(name, QUERY) as opened:
        status = service.QueryServiceStatusEx(opened)
        config = service.QueryServiceConfig(opened)
        start_type = StartType.MANUAL
        if config[1] == AUTO_START:
            what = service.SERVICE_CONFIG_DELAYED_AUTO_START_INFO
            start_type = StartType.DELAYED if service.QueryServiceConfig2(opened, what) else StartType.AUTO
        exit_code: int = status["ServiceSpecificExitCode"] or status["Win32ExitCode"]
        return Standing(
            state=State(status["CurrentState"]),
            pid=status["ProcessId"],
            exit_code=exit_code,
            account=config[7],
            start=start_type,
            command=config[3],
        )


def uninstall(name: str) -> None:
    """Stop it and take it away. Its data folder stays."""
    service = win32("win32service")
    with _opened(name, QUERY | STOP | DELETE) as opened:
        if service.QueryServiceStatusEx(opened)["CurrentState"] != State.STOPPED:
            _stop(service, opened, name)
        service.DeleteService(opened)
        win32("win32evtlogutil").RemoveSourceFromRegistry(name, "Application")


def _until(service: Any, opened: object, name: str, wanted: State, meanwhile: State) -> None:
    progress = Progress()
    while True:
        status: dict[str, int] = service.QueryServiceStatusEx(opened)
        state = status["CurrentState"]
        if state == wanted:
            return
        if state != meanwhile:
            code = status["ServiceSpecificExitCode"] or status["Win32ExitCode"]
            raise Unavailable(
                f"the service {name!r} ended with code {code}; logs\\service.log in its data folder, and the event"
                " log, say why"
            )
        if progress.hangs(time.monotonic(), status["CheckPoint"], status["WaitHint"]):
            raise Unavailable(
                f"the service {name!r} does not get on: {State(state).name.lower()}; see its log"
            )
        time.sleep(LOOK_SECONDS)


@contextmanager
def _manager(name: str, access: int) -> Generator[object]:
    service = win32("win32service")
    with _telling(name):
        manager = service.OpenSCManager(None, None, access)
        try:
            yield manager
        finally:
            service.CloseServiceHandle(manager)


@contextmanager
def _opened(name: str, access: int) -> Generator[object]:
    service = win32("win32service")
    with _manager(name, CONNECT) as manager:
        opened = service.OpenService(manager, name, access)
        try:
            yield opened
        finally:
            service.CloseServiceHandle(opened)


@contextmanager
def _telling(name: str) -> Generator[None]:
    """Tell Windows' errors with the way out."""
    try:
        yield
    except ChargehandError:
        raise
    except Exception as error:
        meant = told(error, name)
        if meant is error:
            raise
        raise meant from error
