"""The closing tables of `mpox.evaluate field=…`: what was seen after deployment against what the study promised."""

from rich.table import Table

from mpox.console import shown
from mpox.field.report import FieldReport
from mpox.stats import printed
from mpox.stats.intervals import Interval

_OUTCOMES = {
    "suspected": "mpox suspected",
    "not_ruled_out": "mpox not ruled out",
    "unclear": "cannot say",
    "not_suspected": "mpox not suspected",
}


def promise_table(report: FieldReport) -> Table:
    """Return the table of figures beside what the study's held-out photos promise."""
    percent = f"{100 * report.confidence:g} %"
    of = [f"{report.cases} cases on {report.phones} phones"] if report.cases is not None else []
    of += [f"{report.answers} cases that a clinic answered"] if report.answers else []
    view = _table(
        f"{shown(report.study)} after deployment: {', '.join(of)} ({percent} interval)", "", "counted", "promised"
    )
    if report.cases is not None:
        for name, words in _OUTCOMES.items():
            view.add_row(words, _bounded(report.outcomes[name]), printed.number(report.promised_outcomes[name]))
        view.add_row("advised to see a clinician", _bounded(report.advised), printed.number(report.promised_advised))
        view.add_row("of these, sent to a clinician", _bounded(report.referred), printed.DASH)
        view.add_row("photos refused", _bounded(report.refused), printed.DASH)
        view.add_section()
    promised = printed.number(report.promised_sensitivity)
    view.add_row(
        f"sensitivity ({report.sensitivity.n} cases a clinician calls mpox)", _bounded(report.sensitivity), promised
    )
    if report.corrected_sensitivity is not None:
        view.add_row("… as if all cases were checked", _bounded(report.corrected_sensitivity), promised)
    view.add_row(f"specificity ({report.specificity.n} others)", _bounded(report.specificity), printed.DASH)
    if report.proposed_threshold is not None:
        proposed = f"{printed.number(report.proposed_threshold)} (finds {printed.number(report.proposed_sensitivity)})"
        view.add_row("threshold by clinicians' cases: a proposal", proposed, printed.number(report.threshold))
    return view


def month_table(report: FieldReport) -> Table:
    """Return the table of months: what drifts."""
    view = _table("By month", "month", "photos", "refused", "cases", "advised", "sent")
    for one in report.months:
        figures = [_bounded(part) for part in (one.refused, one.advised, one.referred)]
        view.add_row(one.month, str(one.photos), figures[0], str(one.cases), *figures[1:])
    return view


def _table(title: str, first: str, *others: str) -> Table:
    view = Table(title=title, caption="research use only; not a diagnosis")
    view.add_column(first)
    for name in others:
        view.add_column(name, justify="right")
    return view


def _bounded(one: Interval) -> str:
    return printed.DASH if one.value is None else f"{printed.number(one.value)} ({printed.bounds(one, 2)})"
