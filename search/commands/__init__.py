"""The verbs of the command. Each stands in a file of its own with its options; COMMANDS lists them.

Nothing heavy is imported here, nor by a verb before it runs: `search --help` reads all of them.
"""

from collections.abc import Callable

from search.commands import check, confirm, dashboard, export, import_, jobs, predict, report, run, train

COMMANDS: list[Callable[..., object]] = [
    run.run,
    confirm.confirm,
    check.check,
    train.train,
    report.report,
    report.status,
    report.compare,
    import_.import_,
    export.export,
    predict.predict,
    dashboard.dashboard,
    dashboard.up,
    jobs.submit,
    jobs.jobs,
    jobs.logs,
    jobs.stop,
]
"""In the order of `search --help`: functions of an options dataclass, whose docstrings are the help."""
