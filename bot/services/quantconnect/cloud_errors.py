"""What may become of a backtest in the cloud instead of a result: each has a name, and its text is one line with the remedy."""

from __future__ import annotations

from collections.abc import Sequence

from bot.services.use_case import UseCaseError
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.models_project import BuildError

_MOST_COMPLAINTS = 5
_LONGEST_TRACE = 1_000


class CloudError(UseCaseError):
    """A backtest in the cloud came to nothing."""


class TextRefused(CloudError):  # noqa: N818 - it names what happened
    """No algorithm could be generated, or its text would not run there; nothing was sent."""


class BuildFailed(CloudError):  # noqa: N818
    """The cloud cannot build the project; `errors` say where."""

    def __init__(self, project: str, errors: Sequence[BuildError]) -> None:
        self.errors = tuple(errors)
        shown = "; ".join(_place(error) for error in self.errors[:_MOST_COMPLAINTS]) or "it does not say why"
        more = len(self.errors) - _MOST_COMPLAINTS
        tail = f" ({more} more)" if more > 0 else ""
        super().__init__(f"project {project} cannot be built: {shown}{tail}; correct the strategy or its parameters")


class NoFreeNode(CloudError):  # noqa: N818
    """Every backtest node was busy for as long as was to be waited."""

    def __init__(self, waited_s: float, busy: str) -> None:
        self.waited_s = waited_s
        by = f" ({busy})" if busy else ""
        super().__init__(
            f"no backtest node was free for {waited_s:.0f} s{by}; "
            "wait, delete what runs there with `qc delete-backtest`, or add a node"
        )


class AlgorithmFailed(CloudError):  # noqa: N818
    """The algorithm raised an error while it ran; `trace` is its stack trace."""

    def __init__(self, name: str, error: str, trace: str, *, initializing: bool) -> None:
        self.error = error
        self.trace = trace[:_LONGEST_TRACE]
        self.initializing = initializing
        when = "in initialize" if initializing else "while it ran"
        said = " ".join((error or "no message").split())[:300]
        traced = f" [{' '.join(trace.split())[:200]}]" if trace and trace != error else ""
        super().__init__(f"{name} failed {when}: {said}{traced}; correct the strategy, or the dates if it had no data")


class StageTimedOut(CloudError):  # noqa: N818
    """A stage took longer than it may; what was begun was deleted."""

    def __init__(self, stage: str, seconds: float, remedy: str) -> None:
        self.stage = stage
        self.seconds = seconds
        super().__init__(f"{stage} did not end within {seconds:g} s; {remedy}")


class Vanished(CloudError):  # noqa: N818
    """The project or the backtest was deleted by somebody else meanwhile."""

    def __init__(self, what: str, name: str) -> None:
        self.what = what
        super().__init__(f"{what} {name} is gone: somebody deleted it; start again")


class ServiceTrouble(CloudError):  # noqa: N818
    """The service could not be asked, or refused; `kind` says whose trouble it is."""

    def __init__(self, stage: str, error: QcError) -> None:
        self.stage = stage
        self.kind: Kind = error.kind
        super().__init__(f"{stage}: {error}")


def _place(error: BuildError) -> str:
    where = f"{error.file or '?'}:{error.line or '?'}"
    return f"{where}: {' '.join(error.text.split())[:200]}"
