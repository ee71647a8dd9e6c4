"""A task's engines as HTML: what each needs, what it finds here, and which one will run. Pure functions."""

from collections.abc import Sequence
from html import escape

from memory.devices import Device
from pipelines.engines.availability import Availability
from pipelines.errors import WeightsMissing
from pipelines.jobs.events import Planned
from pipelines.spec import BUILT_IN
from pipelines.weights.catalog import Licence, Published
from ui.i18n.messages import error_html
from ui.i18n.texts import both, filled
from ui.i18n.units import size


def engine_notes(
    offers: Sequence[Availability], chosen: str, runs: str, plan: Planned | None, *, local: bool
) -> str:
    """A row for each engine; `runs` is the one that `chosen` resolves to, and `plan` its plan.

    Commands to type are shown to the server's owner (`local`); other visitors read whom to ask.
    """
    reason = f'<p class="lt-quiet">{_auto(offers, runs)}</p>' if chosen == "auto" else ""
    rows = "".join(_row(offer, offer.spec.name == runs, plan, local) for offer in offers)
    return f'<section class="lt-engines">{reason}<ul>{rows}</ul></section>'


def consent(published: Published, *, local: bool) -> str:
    """The licence that has to be accepted before the first use of a model's weights."""
    licence = published.licence
    link = f'<a href="{escape(licence.address, quote=True)}" target="_blank" rel="noopener">{both("engine.read")}</a>'
    terms = filled("engine.consent", title=published.title, licence=licence.name)
    rest = both("engine.commercial" if licence.commercial else "engine.non_commercial")
    ask = "" if local else f" {both('engine.ask_owner')}"
    return f'<section class="lt-consent" role="status"><p>{terms} <b>{rest}</b> {link}{ask}</p></section>'


def _auto(offers: Sequence[Availability], runs: str) -> str:
    taken = next(offer for offer in offers if offer.spec.name == runs)
    if taken.spec.network:
        return filled("engine.auto_network", title=taken.spec.title)
    against = [_against(offer) for offer in offers if offer.spec.network]
    return " ".join([both("engine.auto_builtin"), *against])


def _against(offer: Availability) -> str:
    """The reason why `auto` does not take a network."""
    if isinstance(offer.error, WeightsMissing):
        return filled("engine.auto_weights", title=offer.spec.title)
    if offer.error:
        return filled("engine.auto_error", title=offer.spec.title)
    if not offer.fits:
        return filled("engine.auto_card", title=offer.spec.title)
    return filled("engine.auto_licence", title=offer.spec.title)


def _title(offer: Availability) -> str:
    return both("engine.builtin") if offer.spec.title == BUILT_IN else escape(offer.spec.title)


def _row(offer: Availability, runs: bool, plan: Planned | None, local: bool) -> str:
    facts = (
        _needs(offer, offer.spec.weights, local)
        if offer.spec.weights
        else [("needs", both("engine.nothing"))]
    )
    if runs and plan:
        device = f" + {size(plan.predicted_device_bytes)} GPU" if plan.predicted_device_bytes else ""
        facts.append(("memory", f"{size(plan.predicted_host_bytes)}{device}"))
        if plan.predicted_seconds is not None:
            facts.append(("time", expected(plan.predicted_seconds)))
    listed = "".join(f"<div><dt>{both(f'engine.{key}')}</dt><dd>{text}</dd></div>" for key, text in facts)
    fits = plan is None or plan.risk != "cannot"
    ready = offer.error is None and offer.accepted and fits
    badge = f' <span class="lt-runs">{both("engine.runs")}</span>' if runs and ready else ""
    state = " data-runs" if runs and fits else ""
    return (
        f"<li{state}><details><summary><strong>{_title(offer)}</strong>{badge}</summary>"
        f"<dl>{listed}</dl></details></li>"
    )


def _needs(offer: Availability, published: Published, local: bool) -> list[tuple[str, str]]:
    return [
        ("weights", _weights(offer, published, local)),
        ("licence", _licence(published.licence, offer.accepted)),
        ("device", _device(offer.device)),
    ]


def _weights(offer: Availability, published: Published, local: bool) -> str:
    if offer.error is None:
        return both("engine.there")
    if not local:
        return f"{both('engine.missing')} {both('engine.ask_owner_weights')}"
    if not isinstance(offer.error, WeightsMissing):
        return error_html(offer.error)
    command = f"<code>python -m pipelines weights {escape(published.model)} --fetch</code>"
    gigabytes = f"{published.about_bytes / 1e9:.1f} GB"
    return f"{both('engine.missing')} {command} {filled('engine.fetches', size=gigabytes)}"


def _licence(licence: Licence, accepted: bool) -> str:
    use = both("engine.commercial" if licence.commercial else "engine.non_commercial")
    return f"{escape(licence.name)}. {use} {both('engine.accepted' if accepted else 'engine.not_accepted')}"


def _device(device: Device | None) -> str:
    return f"{escape(device.name)}, {size(device.total_bytes)}" if device else both("engine.cpu")


def expected(seconds: float) -> str:
    """An estimate of a time, as rough in words as it is: `about 3 min`."""
    if seconds < 90:
        return filled("about.seconds", number=_few(seconds))
    if seconds < 5400:
        return filled("about.minutes", number=_few(seconds / 60))
    return filled("about.hours", number=_few(seconds / 3600))


def _few(number: float) -> str:
    """A number with two significant digits."""
    return f"{number:.1f}".removesuffix(".0") if number < 9.95 else f"{float(f'{number:.2g}'):.0f}"
