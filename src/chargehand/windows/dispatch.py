"""The process that Windows starts: hands itself to the service control manager. Tried only against a stand-in."""

from collections.abc import Callable
from types import ModuleType

from chargehand.errors import InvalidInput
from chargehand.windows.host import Host, Serve
from chargehand.windows.lifecycle import SPECIFIC_ERROR, Lifecycle, Report
from chargehand.windows.win32 import win32

OWN_PROCESS = 0x10
NOT_STARTED_BY_WINDOWS = 1063


def host_service(name: str, serve: Serve, exit_code_of: Callable[[Exception], int]) -> int:
    """Be the service `name` until it has stopped; its exit code. InvalidInput when Windows did not start us."""
    manager, service = win32("servicemanager"), win32("win32service")
    hosted: list[Host] = []
    codes: list[int] = []

    class Hosted:
        """What the service manager's module makes once Windows calls, and runs in a thread of its own."""

        def __init__(self, arguments: list[str]) -> None:
            del arguments
            # Extended: Windows tells the stop before a shutdown only to such a handler.
            handle = manager.RegisterServiceCtrlHandler(name, self.asked, True)
            hosted.append(Host(Lifecycle(lambda report: _tell(service, handle, report)), serve, exit_code_of))

        def asked(self, control: int, kind: int, data: object) -> int:
            del kind, data
            hosted[0].control(control)
            return 0

        def SvcRun(self) -> None:  # noqa: N802 - the name that pywin32 calls
            manager.LogInfoMsg(f"{name} starts")
            codes.append(hosted[0].run())
            if codes[0]:
                manager.LogErrorMsg(f"{name} failed (exit code {codes[0]}); its log says why")
            else:
                manager.LogInfoMsg(f"{name} has stopped; what was running goes on at the next start")

    manager.Initialize(name, manager.__file__)
    manager.PrepareToHostSingle(Hosted)
    try:
        manager.StartServiceCtrlDispatcher()
    except Exception as error:
        if getattr(error, "winerror", None) == NOT_STARTED_BY_WINDOWS:
            raise InvalidInput(
                "`chargehand service run` is what Windows starts; use `chargehand service start`, or `chargehand serve`"
                " in a terminal"
            ) from error
        raise
    return codes[0] if codes else 0


def _tell(service: ModuleType, handle: object, report: Report) -> None:
    service.SetServiceStatus(
        handle,
        (
            OWN_PROCESS,
            int(report.state),
            report.accepted,
            SPECIFIC_ERROR if report.exit_code else 0,
            report.exit_code,
            report.checkpoint,
            report.wait_hint_milliseconds,
        ),
    )
