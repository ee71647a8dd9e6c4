"""What the page says, in English and Chinese.

Two ways, for two kinds of text. What stands on the page from the start is translated by Gradio (`I18N`). What
is said while a job runs is written in both languages side by side (`both`), and a style sheet shows the one that the
browser asks for; so one job can be watched by two people in two languages.
"""

from html import escape

import gradio as gr

from pipelines.errors import LongtakeError

STATIC: dict[str, tuple[str, str]] = {
    "longtake_tagline": (
        "Videos of any length, on whatever memory is there.",
        "任意长度的视频，任何大小的内存。",
    ),
    "longtake_file": ("Video", "视频"),
    "longtake_more": ("More settings", "更多设置"),
    "longtake_run": ("Score this video", "开始评分"),
    "longtake_cancel": ("Cancel", "取消"),
    "longtake_picture": ("Scores over time", "评分随时间的变化"),
    "longtake_worst": ("Worst frames", "最差的帧"),
    "longtake_files": ("Downloads", "下载"),
}
"""Texts that stand on the page from the start: key -> (English, Chinese). Gradio has a `file` of its own."""

LIVE: dict[str, tuple[str, str]] = {
    "empty": (
        "Choose a video. It is looked at first: what it is, which preset fits, how much memory it will take.",
        "请选择一个视频。首先会检查：它是什么、适合哪种预设、需要多少内存。",
    ),
    "looking": ("Looking at the video …", "正在检查视频……"),
    "kept": (
        "Closing this page does not stop a job: choose the same video again to come back to it.",
        "关闭页面不会停止任务：再次选择同一视频即可回到任务。",
    ),
    "size": ("Picture", "画面"),
    "length": ("Length", "时长"),
    "rate": ("Rate", "帧率"),
    "codec": ("Codec", "编码"),
    "sound": ("Sound", "声音"),
    "damage": ("Damage", "损坏"),
    "none": ("none", "无"),
    "variable": ("variable", "可变"),
    "frames": ("frames", "帧"),
    "preset": ("Preset", "预设"),
    "engine": ("Engine", "引擎"),
    "memory": ("Memory", "内存"),
    "device_memory": ("Device memory", "显存"),
    "disk": ("Disk", "磁盘"),
    "of": ("of", "/"),
    "risk.low": ("low risk", "风险低"),
    "risk.medium": ("medium risk", "风险中"),
    "risk.high": ("high risk", "风险高"),
    "risk.cannot": ("does not fit", "内存不足"),
    "state.queued": ("Waiting", "等待中"),
    "state.running": ("Running", "运行中"),
    "state.done": ("Done", "完成"),
    "state.failed": ("Failed", "失败"),
    "state.paused": ("Paused", "已暂停"),
    "state.cancelled": ("Cancelled", "已取消"),
    "ahead": ("jobs ahead", "个任务在前"),
    "starting": ("starting", "正在启动"),
    "resumable": (
        "What was finished is kept; run it again to go on.",
        "已完成的部分会保留；再次运行即可继续。",
    ),
    "left": ("left", "剩余"),
    "stage.score": ("scoring", "评分"),
    "now": ("Now", "当前"),
    "peak": ("Peak", "峰值"),
    "predicted": ("Predicted", "预测"),
    "limit": ("Limit", "上限"),
    "curve": ("Sharpness so far", "目前的清晰度"),
    "curve_hint": ("higher is sharper", "越高越清晰"),
    "curve_empty": ("The curve appears as frames are scored.", "评分开始后将显示曲线。"),
    "latest": ("Latest frame", "最新帧"),
    "frame": ("Frame", "帧"),
    "report": ("Report", "报告"),
    "report.sharpness": ("Mean sharpness", "平均清晰度"),
    "report.blurred": ("Blurred frames", "模糊帧"),
    "report.frozen": ("Frozen frames", "卡顿帧"),
    "report.cuts": ("Cuts", "镜头切换"),
    "report.smoothness": ("Smoothness", "流畅度"),
    "report.jerkiness": ("Jerkiness of the camera", "镜头抖动"),
    "report.dark": ("Too dark", "过暗"),
    "report.bright": ("Too bright", "过亮"),
    "report.stretches": ("Blurred most", "最模糊的片段"),
    "severity.mild": ("mild", "轻微"),
    "severity.moderate": ("moderate", "中等"),
    "severity.severe": ("severe", "严重"),
}
"""Texts that are said while the page is used: key -> (English, Chinese)."""

FIELDS_ZH: dict[str, tuple[str, str]] = {
    "preset": ("预设", "按具有这么多显存的显卡运行；auto 自动检测。"),
    "quality": ("质量", "在速度与细节之间取舍。"),
    "device": ("设备", "网络在哪里运行：auto、cpu、cuda、cuda:1、mps。"),
    "ram_limit_gb": ("内存上限", "所有进程合计占用的内存不超过此值。"),
    "vram_limit_gb": ("显存上限", "占用的显存不超过此值。"),
    "start": ("开始", "从视频的这一时刻开始。"),
    "end": ("结束", "在视频的这一时刻之前停止。"),
    "engine": ("引擎", "使用哪种引擎；缺少权重时 auto 使用内置引擎。"),
    "decoder": ("解码器", "使用哪个库解码；auto 选择对该文件精确且最快的。"),
    "salvage": ("抢救", "使用损坏文件中可读的部分，而不是拒绝它。"),
    "window": ("窗口", "一个窗口评分所看的帧数。"),
}
"""A setting's label and sentence in Chinese; the English ones are made from the settings model."""

ERRORS_ZH: dict[str, str] = {
    "internal": "程序内部错误。",
    "bad_input": "请求的参数无法使用。",
    "not_a_video": "文件不存在、为空，或不是可读的视频。",
    "no_video_stream": "文件中没有视频画面。",
    "unsupported_video": "不支持这种视频。",
    "damaged_video": "视频被截断或已损坏；“抢救”可使用其中可读的部分。",
    "input_changed": "输入文件已经改变，请作为新任务重新开始。",
    "not_enough_memory": "内存不足，或超过了设定的上限。",
    "not_enough_disk": "磁盘空间不足。",
    "weights_missing": "缺少所需的网络权重。",
    "encoder_died": "编码器提前退出。",
    "reader_stalled": "解码器长时间没有输出。",
    "worker_died": "工作进程多次在同一位置退出。",
}
"""What happened, by an error's code; the English message adds the numbers."""


def label_en(field: str, unit: str) -> str:
    """A setting's name as a label: `ram_limit_gb`, GiB -> `RAM limit (GiB)`."""
    words = field.removesuffix("_gb").split("_")
    named = [w.upper() if w in ("ram", "vram") else w for w in words]
    text = " ".join(named)
    return text[0].upper() + text[1:] + (f" ({unit})" if unit else "")


def field_key(field: str, part: str) -> str:
    """The key of a setting's `label` or `info`."""
    return f"longtake_{part}_{field}"


def both(key: str) -> str:
    """The live text `key` as HTML in both languages; the browser shows one."""
    english, chinese = LIVE[key]
    return spans(english, chinese)


def spans(english: str, chinese: str) -> str:
    """A text in two languages as HTML; escapes."""
    return f'<span lang="en">{escape(english)}</span><span lang="zh">{escape(chinese)}</span>'


def label(key: str) -> str:
    """The live text `key` for an attribute, where only one text fits: `Memory / 内存`."""
    return escape(" / ".join(LIVE[key]), quote=True)


def error_text(error: LongtakeError) -> str:
    """An error in one line and both languages, with its code; plain text."""
    chinese = ERRORS_ZH.get(error.code, ERRORS_ZH["internal"])
    return f"{error} / {chinese} [{error.code}]"


def i18n(fields: dict[str, tuple[str, str]]) -> gr.I18n:
    """The static texts for Gradio; `fields` adds label and sentence of each setting, in English."""
    english = {key: text for key, (text, _) in STATIC.items()}
    chinese = {key: text for key, (_, text) in STATIC.items()}
    for name, (title, sentence) in fields.items():
        title_zh, sentence_zh = FIELDS_ZH[name]
        unit = title[title.find(" (") :] if " (" in title else ""
        english |= {field_key(name, "label"): title, field_key(name, "info"): sentence}
        chinese |= {field_key(name, "label"): title_zh + unit, field_key(name, "info"): sentence_zh}
    return gr.I18n(en=english, **{"zh-CN": chinese, "zh": chinese})
