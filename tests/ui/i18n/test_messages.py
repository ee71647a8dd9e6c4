"""What errors and warnings say: a sentence in every language for each that a visitor may meet."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines import errors
from pipelines.errors import LongtakeError, NotAVideo, OverLimit, QueueFull
from pipelines.jobs import events
from pipelines.scoring.report.stretches import Stretch, verdict
from pipelines.spec import task_spec
from pipelines.video.decoders.decoding import complaint, damaged
from pipelines.video.info import Damage
from ui.i18n.catalogue import CATALOGUES, language_of, load, speaking
from ui.i18n.messages import damage_in, error_html, error_text, failure_html, said, warning_html
from ui.i18n.texts import i18n, in_language, static, task_title
from ui.i18n.words import STATIC
from ui.reports import score
from ui.server.leak_check import BaselineNow, sentence

ROOT = Path(__file__).parents[3]

OF_THE_COMMAND_LINE = (
    "pipelines/__main__.py",
    "pipelines/cli/",
    "pipelines/weights/",  # fetched by whoever runs the server
    "pipelines/nets/",  # loaded by jobs; shown by the sentence of the code
    "pipelines/example/",
    "pipelines/inpainting/spec.py",  # folders of videos
    "pipelines/workers/space_call.py",  # what a Space is started with
    "pipelines/animation/liveportrait/crops.py",  # for programs that import it
    "pipelines/animation/liveportrait/engine.py",  # an environment variable
    "pipelines/storage/frame_export.py",
    "pipelines/scoring/report/folder.py",
    "pipelines/video/files/ffmpeg.py",
    "pipelines/runtime/known_errors.py",
    "pipelines/scheduler/dispatch.py",
    "pipelines/workers/crew_check.py",  # the doctor
    "pipelines/errors.py",
    "ui/gate/names.py",
    "ui/launch.py",
    "ui/server/passwords.py",
    "ui/server/policy.py",
)
"""Where an error may have no key: its readers run the server, or the sentence of its code says enough."""

PLACEHOLDER = re.compile(r"\{(\w+)\}")
SHOUTS_AT_VISITORS = re.compile(r"`|--\w|\bspans?\b|\bhost\b|/tmp|GiB|MiB|\bflag\b|python -m")


def kinds() -> dict[str, type[LongtakeError]]:
    found = [LongtakeError]
    for kind in found:
        found += kind.__subclasses__()
    return {kind.__name__: kind for kind in found}


def calls(names: set[str]) -> Iterator[tuple[str, ast.Call]]:
    """Each call of one of `names` in the program, with its file."""
    for package in ("pipelines", "ui"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                    yield path.relative_to(ROOT).as_posix(), node


def keys(call: ast.Call, place: int) -> list[str]:
    """The constants in the positional argument `place` of a call; a star before it stands for two."""
    starred = [isinstance(each, ast.Starred) for each in call.args]
    at = place - sum(starred)
    if at >= len(call.args):
        return []
    return [
        node.value
        for node in ast.walk(call.args[at])
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value
    ]


ERRORS = [(where, call) for where, call in calls(set(kinds())) if call.args]
SENTENCES = [(where, call) for where, call in calls({"Sentence"}) if len(call.args) > 1]
DOCTOR = "pipelines/doctor.py"
DAMAGE = [(where, call) for where, call in calls({"Damage"}) if len(call.args) > 1]


def test_the_program_raises_errors_and_warns_in_many_places() -> None:
    assert len(ERRORS) > 150 and len(SENTENCES) > 30 and len(DAMAGE) > 8


@pytest.mark.parametrize("catalogue", CATALOGUES.values(), ids=CATALOGUES)
def test_every_error_that_is_raised_has_a_sentence_in_each_language(catalogue) -> None:
    sentences, lacking = catalogue.tables["errors"], []
    for where, call in ERRORS:
        found = keys(call, 2)
        if not found and not where.startswith(OF_THE_COMMAND_LINE):
            lacking.append(f"{where}:{call.lineno} has no key")
        given = {each.arg for each in call.keywords}
        for key in found:
            if key not in sentences:
                lacking.append(f"{where}:{call.lineno}: {key}")
            elif None not in given and (left := set(PLACEHOLDER.findall(sentences[key])) - given):
                lacking.append(f"{where}:{call.lineno}: {key} lacks {left}")
    codes = {kind.code for kind in kinds().values() if kind.__module__.startswith(("pipelines", "ui"))}
    assert not lacking and codes <= set(sentences)


@pytest.mark.parametrize("catalogue", CATALOGUES.values(), ids=CATALOGUES)
def test_every_warning_finding_and_damage_has_a_sentence_in_each_language(catalogue) -> None:
    lacking = []
    for where, call in [*SENTENCES, *DAMAGE]:
        table = "findings" if where == DOCTOR else "parts" if (where, call) in DAMAGE else "warnings"
        sentences, given = catalogue.tables[table], {each.arg for each in call.keywords}
        lacking += [
            f"{where}:{call.lineno}: {key}"
            for key in keys(call, 1)
            if key not in sentences
            or (None not in given and set(PLACEHOLDER.findall(sentences[key])) - given)
        ]
    assert not lacking


def test_every_reason_for_no_gpu_has_a_sentence_in_each_language() -> None:
    """Read from the code: most reasons need another machine."""
    source = (ROOT / "memory/devices.py").read_text(encoding="utf-8")
    codes = set(re.findall(r'NoDevice\((?:[^()]|\([^()]*\))*?"(\w+)"(?:, [^)]+)?\)', source))
    assert {"no_driver", "torch_cpu", "none_visible", "no_apple"} <= codes and len(codes) == 8
    for catalogue in CATALOGUES.values():
        assert {f"gpu.none.{code}" for code in codes} <= catalogue.tables["findings"].keys()


@pytest.mark.parametrize("table", ["errors", "warnings", "findings", "parts"])
def test_languages_have_the_same_sentences_filled_with_the_same_values(table: str) -> None:
    english = CATALOGUES["en"].tables[table]
    for catalogue in CATALOGUES.values():
        own = catalogue.tables[table]
        assert own.keys() == english.keys()
        for key, text in own.items():
            assert set(PLACEHOLDER.findall(text)) == set(PLACEHOLDER.findall(english[key])), key


@pytest.mark.parametrize("table", ["errors", "warnings"])
def test_no_sentence_for_visitors_has_words_of_the_command_line(table: str) -> None:
    for catalogue in CATALOGUES.values():
        for key, text in catalogue.tables[table].items():
            assert not SHOUTS_AT_VISITORS.search(text), (key, text)


FULL = QueueFull(
    "The queue is full (3 jobs waiting).", "Try again when some are done.", "queue.full", waiting=3
)


def test_each_front_end_says_it_in_its_own_words() -> None:
    assert str(FULL) == "The queue is full (3 jobs waiting). Try again when some are done."
    assert error_text(FULL) == f"{FULL} [queue_full]", "programs get the code"
    with speaking("en"):
        assert error_text(FULL) == "The queue is full: 3 jobs are waiting. Try again when some are done."
    with speaking("zh"):
        assert error_text(FULL) == "队列已满：3 个任务在等待。请稍后再试。"
    html = error_html(FULL)
    assert '<span lang="en">The queue is full' in html and '<span lang="zh">队列已满' in html


def test_sizes_and_times_are_written_for_people() -> None:
    error = OverLimit("", "", "limit.file", name="a.mp4", most_bytes=2 << 30)
    assert "larger than 2.00 GB" in said(CATALOGUES["en"], error)


def test_an_error_of_a_plug_in_is_told_as_it_is_in_english_and_by_its_code_in_others() -> None:
    error = NotAVideo("The reel is upside down.", "Turn it.")
    with speaking("en"):
        assert error_text(error) == "The reel is upside down. Turn it."
    with speaking("zh"):
        assert error_text(error) == CATALOGUES["zh"].tables["errors"]["not_a_video"]


def test_an_event_of_an_earlier_version_is_told_too() -> None:
    failed = events.parse(
        '{"type": "failed", "job": "a", "code": "queue_full", "message": "Full.", "hint": ""}'
    )
    other = events.parse(
        '{"type": "failed", "job": "a", "code": "x", "message": "Full.", "key": "queue.full", "values": {}}'
    )
    old = events.parse(
        '{"type": "warning", "job": "a", "code": "object_lost", "message": "Lost on frame 3."}'
    )
    assert isinstance(failed, events.Failed) and isinstance(other, events.Failed)
    assert isinstance(old, events.Warned)
    with speaking("en"):
        assert failure_html(failed, "Full.") == failure_html(other, "Full.") == "Full."
        assert warning_html(old, "Lost on frame 3.") == "Lost on frame 3."
    with speaking("zh"):
        assert failure_html(failed, "Full.") == CATALOGUES["zh"].tables["errors"]["queue_full"]
        assert warning_html(old, "Lost on frame 3.") == "Lost on frame 3."


def test_what_is_damaged_is_said_in_each_language(plan: events.Planned) -> None:
    what = Damage("frame 45 was decoded with errors", "damage.errors", frame=45)
    error = damaged(SimpleNamespace(path=Path("/a/clip.mp4")), what)
    with speaking("en"):
        assert error_text(error).startswith("clip.mp4 is damaged: frame 45 cannot be decoded without errors.")
    with speaking("zh"):
        assert error_text(error).startswith("clip.mp4 已损坏：第 45 帧解码时出错。")
    facts = plan.facts.model_copy(
        update={
            "damage": str(what),
            "damage_key": what.key,
            "damage_values": what.values,
            "missing_frames": 2,
        }
    )
    assert damage_in(CATALOGUES["zh"], facts) == "第 45 帧解码时出错；无法读取的帧数：2。"
    assert damage_in(CATALOGUES["en"], facts).endswith("without errors; unreadable frames: 2.")
    told = events.Warned(
        job="a", code="damaged", message="It is damaged.", key="damaged", values={"missing": 3}
    )
    with speaking("zh"):
        assert warning_html(told, told.message).startswith("文件已损坏（有些帧无法读取）：3 帧"), (
            "of an earlier version"
        )


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("[in#0/mov,mp4,m4a,3gp,3g2,mj2] stream 0, offset 0xb18f: partial file", "damage.cut_off"),
        ("[in#0/matroska,webm] File ended prematurely", "damage.cut_off"),
        ("[h264] Invalid NAL unit size (0 > 471).", "damage.data"),
    ],
)
def test_what_ffmpeg_complains_of_is_said_without_its_words(words: str, key: str) -> None:
    assert complaint(words).key == key and complaint(words) == words


def test_keys_and_values_survive_the_journal() -> None:
    failed = events.parse(events.Failed.of("a", FULL).model_dump_json())
    assert isinstance(failed, events.Failed)
    error = failed.to_error()
    assert (error.key, error.values, type(error)) == ("queue.full", {"waiting": 3}, QueueFull)


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh", "zh"),
        ("en-GB,zh;q=0.9", "en"),
        ("pt-BR,en;q=0.5", "en"),
        ("", "en"),
    ],
)
def test_the_first_language_of_the_browser_is_that_of_the_answers(asked: str, language: str) -> None:
    assert language_of({"accept-language": asked}) == language


def test_a_third_language_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "fr.toml"
    file.write_text(
        'name = "Français"\nlocales = ["fr"]\n[errors]\n"queue.full" = "File pleine : {waiting} tâches."\n',
        encoding="utf-8",
    )
    monkeypatch.setitem(CATALOGUES, "fr", load(file))
    assert language_of({"accept-language": "fr-CH,fr;q=0.9"}) == "fr"
    with speaking("fr"):
        assert error_text(FULL) == "File pleine : 3 tâches."
        assert "Choose a file first." in error_text(errors.BadInput("", "", "input.none")), "English fills in"
    assert '<span lang="fr">File pleine : 3 tâches.</span>' in error_html(FULL)


FRENCH = """
name = "Français"
locales = ["fr"]
[joints]
between = " "
[live]
"verdict.blurred" = "Flou : {found}."
"verdict.frozen" = "Figé : {found}."
"verdict.found" = "{frames} ({share}), {stretches}"
"verdict.none" = "rien"
"count.frame" = "{number} images"
"count.stretch.one" = "{number} passage"
"stretch.blurred" = "flou, {frames}"
"stretch.severe" = "{stretch}, grave ({lost})"
"system.baseline.returned" = "Toute la mémoire est rendue."
[static]
longtake_score = "Évaluer"
longtake_tagline = "Toutes les longueurs."
[others]
"Masked share of the picture" = "Part masquée"
"""


def test_a_third_language_has_titles_curves_and_verdicts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "fr.toml"
    file.write_text(FRENCH, encoding="utf-8")
    monkeypatch.setitem(CATALOGUES, "fr", load(file))
    found = {"frames": 46, "interval_count": 1, "ratio": 0.153, "intervals": []}
    summary = {"blurred": found, "frozen": {"frames": 0, "run_count": 0, "ratio": 0.0, "runs": []}}
    blurred = Stretch("blurred", 3, 25, 0.1, 1.0, "severe", 0.428)
    assert score.verdict(summary, CATALOGUES["fr"]) == "Flou : 46 images (15.3 %), 1 passage. Figé : rien."
    assert score.words(blurred, CATALOGUES["fr"]) == "flou, 22 images, grave (−42.8 %)"
    assert sentence(BaselineNow(returned=True), CATALOGUES["fr"]) == "Toute la mémoire est rendue."
    with speaking("fr"):
        assert (
            task_title(task_spec("score")) == "Évaluer"
            and static("longtake_tagline") == "Toutes les longueurs."
        )
    assert in_language(task_spec("track").curve or ("", ""), CATALOGUES["fr"]) == "Part masquée"
    told = i18n({}).translations["fr"]
    assert told["longtake_score"] == "Évaluer" and told["longtake_run"] == STATIC["longtake_run"][0]


@pytest.mark.parametrize("frames", [0, 1, 1200])
def test_the_page_and_the_command_line_say_the_same_verdict(frames: int) -> None:
    run = {"frames": frames, "ratio": 0.25, "interval_count": frames, "run_count": frames}
    summary = {"blurred": run, "frozen": {**run, "frames": 0}, "blank": {"frames": frames}}
    summary["cadence"] = {"repeated_frames": frames}
    for number, language in enumerate(("en", "zh")):
        assert score.verdict(summary, CATALOGUES[language]) == verdict(summary)[number]
        for severity in (None, "mild", "moderate", "severe"):
            stretch = Stretch("frozen", 0, max(1, frames), 0.0, 1.0, severity, severity and 0.5)
            assert score.words(stretch, CATALOGUES[language]) == stretch.words[number]
