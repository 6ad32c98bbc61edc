"""`garrison up --foreground`: the node in this very process."""

from __future__ import annotations

import threading

from garrison.kernel.errors import Conflict, GarrisonError
from garrison.kernel.home import Home
from garrison.surfaces.cli.bringup import hand_over, keep_revision, prepare
from garrison.surfaces.cli.fleet_report import report_of, show_report
from garrison.surfaces.cli.node_client import client_of
from garrison.surfaces.cli.output import Form, tell, tell_error
from garrison.surfaces.cli.progress import wait_until_settled
from garrison.surfaces.configuration import Configuration, Wanted
from garrison.surfaces.launch import START_S_MAX, open_listeners
from garrison.surfaces.node import serve
from garrison.surfaces.presence import held, returning_node, wait_for_node


def run_here(home: Home, wanted: Wanted, form: Form, *, rollback: bool) -> None:
    """Serve until SIGTERM; the report comes once every server has settled, from a thread beside."""
    with held(home):
        if (note := returning_node(home)) is not None:
            message = f"the fleet runs already (pid {note.pid})"
            raise Conflict("fleet.running", message, "end it with `garrison down`, or leave --foreground out")
        configuration, revision = prepare(home, wanted, rollback=rollback)
        edge = configuration.desired.settings.edge
        listeners = open_listeners(edge.listen, edge.workers)
        hand_over(home, configuration, listeners)
    keep_revision(home, configuration.desired, revision)
    threading.Thread(target=_report, args=(home, configuration, form), daemon=True).start()
    serve(home, listeners, "sweep")


def _report(home: Home, configuration: Configuration, form: Form) -> None:
    try:
        if wait_for_node(home, START_S_MAX) is not None:
            status = wait_until_settled(home, client_of(home), tell)
            show_report(report_of(home, status, configuration.left_out), form)
    except GarrisonError as error:
        tell_error(error)
