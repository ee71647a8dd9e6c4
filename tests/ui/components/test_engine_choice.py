"""The choice of an engine: what each needs, which one will run, and a licence that is accepted once."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

from memory.devices import Device
from memory.units import GIB
from pipelines.engines.availability import Availability
from pipelines.errors import BadInput, WeightsBroken, WeightsMissing
from pipelines.jobs.events import Event, Planned
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import engine_of
from pipelines.spec import engine_spec, engines_of, settings_model
from pipelines.weights import licences
from pipelines.weights.catalog import PUBLISHED
from ui.components import forms
from ui.i18n.words import LIVE
from ui.page import I18N
from ui.render.engines import consent as consent_html
from ui.render.engines import engine_notes, expected
from ui.server.policy import Policy

PATIENCE_MS = 180_000
CARD = Device("cuda", 0, "A <card>", "GPU-1", 24 * GIB, 20 * GIB)
BUILTIN = Availability(engine_spec("inpaint", "flow"))
NETWORK = Availability(
    engine_spec("inpaint", "propainter"), {"ProPainter.pth": Path("/w/ProPainter.pth")}, device=CARD
)
MISSING = WeightsMissing("ProPainter needs x.", "Fetch it into /home/ann.")


def notes(
    network: Availability, chosen: str = "auto", plan: Planned | None = None, *, local: bool = True
) -> str:
    runs = chosen if chosen != "auto" else "propainter" if network.suits_auto else "flow"
    return engine_notes([BUILTIN, network], chosen, runs, plan, local=local)


def said(key: str, **values: str) -> str:
    return LIVE[key][0].format(**values)


def test_auto_says_what_it_takes_and_why() -> None:
    assert said("engine.auto_network", title="ProPainter") in notes(NETWORK)
    for against, why in (
        ({"error": MISSING}, "engine.auto_weights"),
        ({"error": BadInput("No such device.")}, "engine.auto_error"),
        ({"fits": False, "device": None}, "engine.auto_card"),
        ({"accepted": False}, "engine.auto_licence"),
    ):
        html = notes(replace(NETWORK, **against))
        assert said("engine.auto_builtin") in html and said(why, title="ProPainter") in html, why
        assert LIVE[why][1].format(title="ProPainter") in html, "in Chinese too"
    assert said("engine.auto_builtin") not in notes(NETWORK, "flow")


def test_the_engine_that_will_run_is_marked_with_what_it_takes(plan: Planned) -> None:
    plan = plan.model_copy(update={"predicted_device_bytes": 6 * GIB, "predicted_seconds": 200.0})
    html = notes(NETWORK, "propainter", plan)
    builtin, network = html.split("<li")[1:]
    assert "data-runs" in network and "data-runs" not in builtin
    assert "200 MB + 6.00 GB GPU" in network and "about 3.3 min" in network and "6.00" not in builtin
    assert said("engine.runs") not in notes(replace(NETWORK, accepted=False), "propainter"), "it may not yet"
    too_large = notes(NETWORK, "propainter", plan.model_copy(update={"risk": "cannot"}))
    assert said("engine.runs") not in too_large and "data-runs" not in too_large, "it does not fit"
    assert "about" not in notes(NETWORK, "propainter", plan.model_copy(update={"predicted_seconds": None}))


def test_a_network_says_weights_licence_and_device() -> None:
    html = notes(NETWORK)
    assert "A &lt;card&gt;, 24.0 GB" in html and "NTU S-Lab License 1.0" in html
    assert said("engine.non_commercial") in html and said("engine.there") in html
    lacks = replace(NETWORK, error=MISSING, device=None, accepted=False)
    html = notes(lacks)
    assert "python -m pipelines weights propainter --fetch" in html and "0.2 GB" in html
    assert said("engine.cpu") in html and said("engine.not_accepted") in html


def test_visitors_are_told_nothing_of_folders_and_commands() -> None:
    broken = WeightsBroken("/home/ann/index.json is no index.", "")
    for error in (MISSING, broken):
        html = notes(replace(NETWORK, error=error), local=False)
        assert "/home" not in html and "python -m" not in html
        assert said("engine.ask_owner_weights") in html
    assert "/home/ann/index.json" in notes(replace(NETWORK, error=broken))


def test_the_notice_names_licence_use_and_address() -> None:
    html = consent_html(PUBLISHED["propainter"], local=True)
    assert "NTU S-Lab License 1.0" in html and said("engine.non_commercial") in html
    assert 'href="https://github.com/sczhou/ProPainter/blob/main/LICENSE"' in html
    assert said("engine.ask_owner") not in html
    assert said("engine.ask_owner") in consent_html(PUBLISHED["propainter"], local=False)
    assert said("engine.commercial") in consent_html(PUBLISHED["liveportrait"], local=True)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (2.04, "2 s"),
        (31.4, "31 s"),
        (89, "89 s"),
        (200, "3.3 min"),
        (1234, "21 min"),
        (9000, "2.5 h"),
        (4e5, "110 h"),
    ],
)
def test_a_guess_is_told_as_roughly_as_it_is(seconds: float, words: str) -> None:
    assert f"about {words}<" in expected(seconds)


@pytest.mark.parametrize("task", ["score", "inpaint"])
def test_every_engine_has_a_name_that_is_translated_where_it_is_a_word(task: str) -> None:
    with gr.Blocks():
        radio: Any = forms.make_component(
            settings_model(task), "engine", I18N, "x", {"auto": I18N("longtake_auto"), "flow": "Built-in"}
        )
    assert [value for _, value in radio.choices] == ["auto", *engines_of(task)]
    assert {"longtake_auto", "longtake_builtin"} <= set(I18N.translations["zh-CN"])


# -- the page --------------------------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ProPainter's files where weights usually are, and a user who has accepted nothing."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for file in PUBLISHED["propainter"].files:
        (folder / file.name).write_bytes(file.name.encode() * 100)
    monkeypatch.setenv("LONGTAKE_WEIGHTS", str(folder))
    monkeypatch.setenv("LONGTAKE_CONFIG", str(tmp_path / "config"))
    return folder


Script = Callable[[Job], Iterator[Event]]
MakeQueue = Callable[..., JobQueue]


def pick(page: Page, engine: str) -> None:
    page.locator(f"#inpaint-setting-engine input[value={engine}]").check()


@pytest.mark.browser
def test_a_network_is_chosen_its_licence_accepted_and_its_options_used(
    visit: Callable[..., Page], make_queue: MakeQueue, good_run: Script, clip: Path, weights: Path
) -> None:
    page = visit(make_queue(good_run), viewport={"width": 390, "height": 1400})
    page.get_by_role("tab", name="Remove object").click()
    page.locator("#inpaint-file input[type=file]").set_input_files(clip)
    run, engines = page.locator("#inpaint-run"), page.locator("#inpaint-engines")
    page.locator(".lt-fold summary").click()
    page.locator("#inpaint-setting-box textarea").fill("10,10,40,40@0")
    expect(run).to_be_enabled(timeout=PATIENCE_MS)
    expect(engines.locator("[data-runs]")).to_contain_text("Built-in")
    expect(engines.locator("[data-runs]")).to_contain_text("about")
    options = page.locator("#inpaint-setting-raft_iter")
    expect(options).to_be_hidden()
    pick(page, "propainter")
    expect(page.locator(".lt-consent")).to_contain_text("NTU S-Lab License 1.0")
    expect(page.locator("#inpaint-card")).to_contain_text("propainter", timeout=PATIENCE_MS)
    expect(run).to_be_disabled()
    page.locator("#inpaint-accept").click()
    expect(run).to_be_enabled(timeout=PATIENCE_MS)
    expect(page.locator(".lt-consent")).to_be_hidden()
    assert licences.is_accepted("propainter")
    expect(engines.locator("[data-runs]")).to_contain_text("GB", timeout=PATIENCE_MS)
    page.get_by_text("Options of this engine").click()
    expect(options).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    (weights / "ProPainter.pth").unlink()
    pick(page, "flow")
    expect(options).to_be_hidden()
    expect(run).to_be_enabled(timeout=PATIENCE_MS)
    pick(page, "propainter")
    refusal = page.locator("#inpaint-card [data-code=weights_missing]")
    expect(refusal).to_be_visible(timeout=PATIENCE_MS)
    expect(engines).to_contain_text("python -m pipelines weights propainter --fetch")
    expect(run).to_be_disabled()


# -- the API ---------------------------------------------------------------------------------------------------


@pytest.fixture
def client_under(
    make_queue: MakeQueue,
    page_over: Callable[..., gr.Blocks],
    serve: Callable[..., str],
    good_run: Script,
    tmp_path: Path,
) -> Callable[[Policy], Client]:
    def make(policy: Policy) -> Client:
        url = serve(page_over(make_queue(good_run), policy))
        return Client(url, verbose=False, download_files=str(tmp_path / "downloads"))

    return make


def test_an_engine_is_asked_for_by_name(
    client_under: Callable[[Policy], Client], clip: Path, tmp_path: Path, weights: Path
) -> None:
    client = client_under(Policy())
    asked = {"file": handle_file(clip), "box": "10,10,40,40@0", "engine": "propainter"}
    status, _ = client.predict(**asked, raft_iter=6, api_name="/inpaint")
    record = Job.find(tmp_path / "jobs", status["job"]).record()
    assert record.settings.engine == "propainter" and record.settings.model_dump()["raft_iter"] == 6
    assert len(record.weights) == 3 and licences.is_accepted("propainter")
    plan = client.predict(**asked, task="inpaint", api_name="/estimate")
    assert plan["engine"] == "propainter"
    with pytest.raises(AppError, match=r"Q-Align needs .*--fetch.*weights_missing"):
        client.predict(file=handle_file(clip), engine="qalign", api_name="/score")
    with pytest.raises(AppError, match="bad_input"):
        client.predict(file=handle_file(clip), engine="magic", api_name="/score")


def test_visitors_may_use_what_the_owner_has_accepted(
    client_under: Callable[[Policy], Client], clip: Path, weights: Path
) -> None:
    client = client_under(Policy(local=False))
    asked = {"file": handle_file(clip), "box": "10,10,40,40@0", "engine": "propainter"}
    with pytest.raises(AppError, match=r"has not accepted it.*licence_not_accepted"):
        client.predict(**asked, api_name="/inpaint")
    assert not licences.is_accepted("propainter")
    licences.accept("propainter")
    assert client.predict(**asked, api_name="/inpaint")[0]["state"] == "done"
    for name, task in (("score", {}), ("estimate", {"task": "score"})):
        with pytest.raises(AppError, match="no weights of Q-Align that can be used") as told:
            client.predict(file=handle_file(clip), engine="qalign", **task, api_name=f"/{name}")
        assert str(weights.parent) not in str(told.value) and "cache" not in str(told.value)
    for engine in ("auto", "flow"):
        with pytest.raises(AppError, match=r"no weights of SAM 2.* that can be used"):
            client.predict(**{**asked, "engine": engine}, tracker="sam2", api_name="/inpaint")


@pytest.mark.parametrize("task", ["score", "inpaint"])
def test_each_option_of_an_engine_is_on_the_form(task: str) -> None:
    model = settings_model(task)
    own = {name for name in model.model_fields if engine_of(model, name)}
    assert own and own <= set(forms.field_names(model)) | forms.SERVER_SIDE
