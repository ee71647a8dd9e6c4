"""The server's state as HTML: the hardware strip, the System tab, the doctor. Pure functions.

Text that comes from outside (names of GPUs and processes, messages of drivers) is escaped here.
"""

import re
from collections.abc import Sequence
from functools import partial
from html import escape

from memory.units import GIB
from pipelines.doctor import Finding
from ui.i18n.catalogue import Catalogue
from ui.i18n.messages import html_of
from ui.i18n.texts import both, choice_name, engine_name, filled, label, named, spans_of
from ui.i18n.units import size
from ui.i18n.words import LIVE
from ui.render.history_plot import last_hour
from ui.render.job import clock
from ui.server.leak_check import sentence
from ui.server.monitor import Sample
from ui.server.policy import Policy
from ui.server.system_info import BaselineNow, DeviceNow, ProcessesNow, System, WorkerNow

TIGHT_MEMORY_BYTES, TIGHT_DISK_BYTES = 2 * GIB, 5 * GIB
"""With less free memory or disk there may be no room for another job; the doctor warns below the same."""


def hardware_strip(system: System, policy: Policy) -> str:
    """A quiet button with the device and its free memory; a popover has the rest: limits, disk, preset and why.

    It is a popover, whose open state is not an attribute: a refresh would close `<details>` while it is being read.
    """
    hardware, host = system.hardware, system.hardware.host
    items = [_device_name(system), _free("strip.host", host.available_bytes, host.total_bytes)]
    items += [_free("strip.device", device.free_bytes, device.total_bytes) for device in hardware.devices]
    if policy.ram_limit_gb is not None:
        items.append(f"<dt>{both('strip.limit')}</dt><dd>{size(int(policy.ram_limit_gb * GIB))}</dd>")
    items.append(_free("strip.disk", system.disk.free_bytes, None))
    items.append(f"<dt>{both('strip.preset')}</dt><dd>{choice_name('preset', system.preset.vram)}</dd>")
    device = next(iter(hardware.devices), None)
    name = escape(device.name) if device else both("strip.no_gpu")
    free = size(device.free_bytes if device else host.available_bytes)
    listed = "".join(f"<div>{item}</div>" for item in items)
    sentences = "".join(f"<p>{text}</p>" for text in _reasons(system, policy))
    return (
        f'<section class="lt-hardware" {named("strip.hardware")}>'
        f'<button type="button" popovertarget="lt-why" class="lt-why">{name} · '
        f"{filled('strip.free', free=free)}</button>"
        f'<div id="lt-why" popover><dl>{listed}</dl>{sentences}</div></section>'
    )


def _device_name(system: System) -> str:
    cores = system.hardware.cores
    cpu = filled("strip.core" if cores == 1 else "strip.cores", cores=f"{cores}")
    devices = system.hardware.devices
    if not devices:
        return f"<dt>{both('strip.no_gpu')}</dt><dd>{cpu}</dd>"
    more = f" + {len(devices) - 1}" if len(devices) > 1 else ""
    return f"<dt>{escape(devices[0].name)}{more}</dt><dd>{cpu}</dd>"


def _free(key: str, free_bytes: int, total_bytes: int | None) -> str:
    if total_bytes is None:
        return f"<dt>{both(key)}</dt><dd>{filled('strip.free', free=size(free_bytes))}</dd>"
    text = filled("strip.free_of", free=_number(free_bytes, total_bytes), total=size(total_bytes))
    used = _percent(total_bytes - free_bytes, total_bytes)
    return (
        f'<dt>{both(key)}</dt><dd>{text}<i class="lt-sliver" aria-hidden="true">'
        f'<i style="width:{used:.1f}%"></i></i></dd>'
    )


def _number(part_bytes: int, total_bytes: int) -> str:
    """The part without its unit where the whole has the same."""
    (part, unit), (_, whole_unit) = size(part_bytes).split(" "), size(total_bytes).split(" ")
    return part if unit == whole_unit else f"{part} {unit}"


def _reasons(system: System, policy: Policy) -> list[str]:
    hardware, preset, device = system.hardware, system.preset, next(iter(system.hardware.devices), None)
    sentences = []
    if device is None:
        key, detail = f"gpu.none.{hardware.no_device_code or 'other'}", hardware.no_device_detail
        sentences.append(html_of("findings", (key,), {"detail": detail}, hardware.no_device_reason))
        sentences.append(filled("strip.tier_cpu", host=preset.host))
    else:
        total = size(device.total_bytes)
        sentences.append(filled("strip.tier_gpu", total=total, vram=preset.vram, host=preset.host))
    host = hardware.host
    if host.in_container:
        limit, machine = size(host.total_bytes), size(host.machine_bytes)
        sentences.append(filled("strip.container", limit=limit, machine=machine))
    if policy.ram_limit_gb is not None:
        sentences.append(filled("strip.limit_why", limit=size(int(policy.ram_limit_gb * GIB))))
    return [*sentences, both("strip.rest")]


def system_panel(system: System, samples: Sequence[Sample]) -> str:
    """The whole System tab: what runs, what waits and whether there is room; then the figures of the machine."""
    tiles = [_host(system), *map(_device, system.hardware.devices), _disk(system)]
    more = [_processes(system.processes), _worker(system), _baseline(system.baseline), _counters(system)]
    return (
        f'<div class="lt-system">{_at_a_glance(system)}<div class="lt-tiles">{"".join(tiles)}</div>{last_hour(samples)}'
        f'<div class="lt-tiles">{"".join(more)}</div></div>'
    )


def _at_a_glance(system: System) -> str:
    """In sentences: what runs, what waits, and whether there is room for more."""
    queue, host, disk = system.queue, system.hardware.host, system.disk
    runs = _what_runs(system)
    count = min(queue.waiting, 2)
    waits = filled(("glance.none_wait", "glance.one_waits", "glance.wait")[count], count=f"{queue.waiting:,}")
    is_tight = host.available_bytes < TIGHT_MEMORY_BYTES or disk.free_bytes < TIGHT_DISK_BYTES
    room = filled(
        "glance.tight" if is_tight else "glance.room",
        memory=size(host.available_bytes),
        disk=size(disk.free_bytes),
    )
    lamps = (
        "busy" if queue.running else "warm",
        "busy" if queue.waiting else "warm",
        "bad" if is_tight else "warm",
    )
    rows = "".join(
        f'<li><i class="lt-lamp lt-lamp-{lamp}" aria-hidden="true"></i>{sentence}</li>'
        for lamp, sentence in zip(lamps, (runs, waits, room), strict=True)
    )
    return (
        f'<section class="lt-tile"><h3>{both("glance.title")}</h3><ul class="lt-glance">{rows}</ul></section>'
    )


def _what_runs(system: System) -> str:
    if not system.queue.running:
        return both("glance.idle")
    if system.queue.running > 1:
        return filled("glance.run", count=f"{system.queue.running:,}")
    busy = next((worker for worker in system.workers if worker.state == "busy"), system.worker)
    return filled("glance.runs", time=clock(busy.seconds))


def _host(system: System) -> str:
    host, ours = system.hardware.host, system.processes.total_bytes
    note = filled("system.in_container", machine=size(host.machine_bytes)) if host.in_container else ""
    # Our processes are measured by proportional set size, the machine is not: the two may differ by some pages.
    others = max(0, host.used_bytes - ours)
    return _tile(both("system.memory"), note, _bar("system.memory", host.total_bytes, ours, others))


def _device(device: DeviceNow) -> str:
    busy = device.utilisation_percent
    note = "" if busy is None else filled("system.busy_device", percent=f"{busy}")
    bar = _bar("strip.device", device.total_bytes, device.ours_bytes, device.others_bytes)
    return _tile(f"GPU {device.index} · {escape(device.name)}", note, bar)


def _disk(system: System) -> str:
    disk = system.disk
    note = f"<code>{escape(disk.folder)}</code>" if disk.folder else both("system.of_jobs")
    bar = _bar("system.disk", disk.total_bytes, None, disk.total_bytes - disk.free_bytes)
    return _tile(both("system.disk"), note, bar)


def _tile(title: str, note: str, body: str) -> str:
    small = f" <small>{note}</small>" if note else ""
    return f'<section class="lt-tile"><h3>{title}{small}</h3>{body}</section>'


def _bar(key: str, total: int, ours: int | None, others: int) -> str:
    """A bar of used memory or disk, with its numbers; `ours` is None where our share is not known."""
    used = others + (ours or 0)
    texts = [text.format(used=size(used), total=size(total)) for text in LIVE["system.used_of"]]
    rows = [] if ours is None else [("ours", "system.ours", ours)]
    rows.append(("others", "system.used" if ours is None else "system.others", others))
    parts = "".join(
        f'<i class="lt-{name}" style="width:{_percent(held, total):.2f}%"></i>' for name, _, held in rows
    )
    rows.append(("free", "system.free", max(0, total - used)))
    return (
        f'<div class="lt-bar lt-parts" role="meter" aria-label="{label(key)}" aria-valuemin="0" '
        f'aria-valuemax="{total}" aria-valuenow="{min(used, total)}" aria-valuetext="{escape(" / ".join(texts))}">'
        f"{parts}</div>{_figures([(name, both(word), _big(size(held))) for name, word, held in rows])}"
    )


def _figures(rows: Sequence[tuple[str, str, str]]) -> str:
    """Named numbers: colour key ("none" has none), name, value; the last two are HTML."""
    cells = (f'<div><dt class="lt-key-{key}">{name}</dt><dd>{value}</dd></div>' for key, name, value in rows)
    return f'<dl class="lt-facts">{"".join(cells)}</dl>'


def _big(text: str) -> str:
    number, _, unit = text.partition(" ")
    return f"{number} <small>{unit}</small>" if unit else number


def _processes(processes: ProcessesNow) -> str:
    rows = [("page", "page", processes.page_bytes), ("worker", "worker", processes.worker_bytes)]
    if processes.other_bytes:
        rows.append(("other", "other", processes.other_bytes))
    total = max(1, processes.total_bytes)
    parts = "".join(
        f'<i class="lt-{name}" style="width:{_percent(held, total):.2f}%"></i>' for name, _, held in rows
    )
    figures = _figures([(name, both(f"system.{word}"), _big(size(held))) for name, word, held in rows])
    each = "" if processes.each is None else _each(processes)
    bar = f'<div class="lt-bar lt-parts" aria-hidden="true">{parts}</div>'
    return _tile(both("system.processes"), size(processes.total_bytes), f"{bar}{figures}{each}")


def _each(processes: ProcessesNow) -> str:
    rows = "".join(
        f'<li><span class="lt-name">{escape(process.name)}<small>{both(f"system.{process.role}")} · {process.pid}'
        f"</small></span><span>{size(process.host_bytes)}</span></li>"
        for process in processes.each or ()
    )
    return f'<ul class="lt-each">{rows}</ul>'


def _worker(system: System) -> str:
    """The worker, or those of several places; places without one are not listed."""
    workers, queue = system.workers or (system.worker,), system.queue
    there = [worker for worker in workers if worker.state != "none"]
    rows = [
        ("none", both("system.running"), f"{queue.running:,}"),
        ("none", both("system.waiting"), f"{queue.waiting:,}"),
        ("none", both("system.frames_per_second"), f"{system.counters.frames_per_second:,.1f}"),
    ]
    if len(workers) > 1:
        rows.insert(0, ("none", both("system.at_once"), f"{len(workers):,}"))
    if there:
        engines = dict.fromkeys(worker.engine for worker in there if worker.engine)
        named_engines = (f"{engine_name(name)} <code>{escape(name)}</code>" for name in engines)
        rows += [
            ("none", both("system.jobs_run"), f"{sum(worker.jobs_run for worker in there):,}"),
            ("none", both("system.engine"), ", ".join(named_engines) or both("none")),
        ]
    states = "".join(map(_state, there or workers[:1]))
    return _tile(
        both("system.worker" if len(workers) == 1 else "system.workers"), "", f"{states}{_figures(rows)}"
    )


def _state(worker: WorkerNow) -> str:
    state = filled(f"system.worker.{worker.state}", time=clock(worker.seconds))
    return f'<p><i class="lt-lamp lt-lamp-{worker.state}" aria-hidden="true"></i>{state}</p>'


def _baseline(baseline: BaselineNow) -> str:
    lamp = {None: "none", True: "warm", False: "bad"}[baseline.returned]
    verdict = spans_of(partial(sentence, baseline))
    return _tile(
        both("system.baseline"),
        "",
        f'<p><i class="lt-lamp lt-lamp-{lamp}" aria-hidden="true"></i>{verdict}</p>',
    )


def _counters(system: System) -> str:
    counters = system.counters
    rows = [
        ("none", both("system.restarts"), f"{counters.restarts:,}"),
        ("none", both("system.degradations"), f"{counters.degradations:,}"),
        *(("none", _ending(ending), f"{count:,}") for ending, count in counters.finished.items() if count),
    ]
    return _tile(both("system.counters"), "", _figures(rows))


def _ending(name: str) -> str:
    return both(f"state.{name}") if f"state.{name}" in LIVE else escape(name)


def doctor_text(findings: Sequence[Finding], *, private: bool = False) -> str:
    """The doctor's findings, with advice. Paths are shown only where `private`."""
    failed = sum(not finding.ok for finding in findings)
    verdict = (
        filled("system.doctor.ill", count=f"{failed}", all=f"{len(findings)}")
        if failed
        else both("system.doctor.well")
    )
    rows = "".join(_finding(finding, private) for finding in findings)
    return _tile(
        both("system.doctor"), "", f'<p role="status">{verdict}</p><ul class="lt-doctor">{rows}</ul>'
    )


def _finding(finding: Finding, private: bool) -> str:
    fine = ("none", "missing") if finding.missing else ("warm", "ok")
    lamp, word = fine if finding.ok else ("bad", "look")
    found = _words(finding, finding.key, finding.found, private)
    advice = _words(finding, finding.advice_key, finding.advice, private)
    advice = f"<small>{advice}</small>" if advice else ""
    return (
        f'<li><i class="lt-lamp lt-lamp-{lamp}" role="img" aria-label="{label(f"system.doctor.{word}")}"></i>'
        f"<b>{spans_of(partial(_title, finding))}</b><span>{found} {advice}</span></li>"
    )


def _title(finding: Finding, catalogue: Catalogue) -> str:
    """What was checked; programs, libraries and models have the same name in each language."""
    if finding.what.startswith("gpu"):
        return finding.what.upper()
    named = str(finding.values.get("title", finding.what))
    return catalogue.find("findings", f"title.{finding.what}") or named


def _words(finding: Finding, key: str, otherwise: str, private: bool) -> str:
    """A sentence of a finding as HTML in the visitor's language, or as it is where it has no key."""
    if not key:
        return _code(_public(otherwise, private))
    told = html_of("findings", (key,), finding.values, otherwise)
    return "".join(
        f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(told.split("`"))
    )


def _code(text: str) -> str:
    """`text` as HTML, with what is in backquotes as code; escapes."""
    return "".join(
        f"<code>{escape(part)}</code>" if number % 2 else escape(part)
        for number, part in enumerate(text.split("`"))
    )


def _public(text: str, private: bool) -> str:
    """`text` cut off before the first path in it, unless `private`."""
    kept, *path = re.split(r"\S*[/\\]", text, maxsplit=1)
    return text if private or not path else f"{kept.rstrip(' (')} …".lstrip()


def _percent(part: int, whole: int) -> float:
    return 100 * min(1.0, max(0.0, part / whole)) if whole else 0.0
