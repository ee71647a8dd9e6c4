"""The page that asks for a user's name and password: one small document that needs nothing else from the server."""

from ui.i18n.texts import both, language_style

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: light-dark(#f8fafc, #020617);
  color: light-dark(#0f172a, #f1f5f9); }
main { width: min(22rem, calc(100vw - 3rem)); }
h1 { margin: 0; font-size: 1.6rem; letter-spacing: -0.02em; }
p { margin: 0.25rem 0 1.5rem; color: light-dark(#475569, #94a3b8); }
label { display: block; margin: 1rem 0 0.25rem; }
input, button { box-sizing: border-box; width: 100%; min-height: 2.75rem; padding: 0 0.75rem; border-radius: 8px;
  font: inherit; color: inherit; border: 1px solid light-dark(#94a3b8, #475569);
  background: light-dark(#fff, #0f172a); }
button { margin-top: 1.5rem; border: 0; background: #0f766e; color: #fff; cursor: pointer; }
button[aria-disabled="true"] { opacity: 0.6; }
:focus-visible { outline: 3px solid #14b8a6; outline-offset: 2px; }
#told { min-height: 1.5rem; margin: 1rem 0 0; color: light-dark(#b91c1c, #fca5a5); }
#told > span:not(.said) { display: none; }
"""

_SCRIPT = """
document.documentElement.lang = navigator.language || "en";
addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector("form"), button = form.querySelector("button");
  const tell = (name, seconds) => {
    for (const each of document.querySelectorAll("#told > span")) {
      each.classList.toggle("said", each.dataset.why === name);
    }
    for (const each of document.querySelectorAll("#told b")) each.textContent = seconds;
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    tell("");
    try {
      const answer = await fetch("login", { method: "POST", body: new URLSearchParams(new FormData(form)) });
      if (answer.ok) { location.reload(); return; }
      const wait = answer.status === 429;
      tell(wait ? "wait" : answer.status < 500 ? "wrong" : "broken", wait ? answer.headers.get("Retry-After") : "");
    } catch { tell("broken"); }
    button.setAttribute("aria-disabled", "false");
    form.elements.password.select();
  });
});
"""


def login_page() -> str:
    """The page as HTML, in all languages side by side."""
    told = "".join(
        f'<span data-why="{why}">{both(f"login.{why}").replace("{seconds}", "<b></b>")}</span>'
        for why in ("wrong", "wait", "broken")
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Longtake</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{language_style()}<style>{_STYLE}</style><script>{_SCRIPT}</script></head><body><main><h1>Longtake</h1>"
        f"<p>{both('login.please')}</p>"
        '<form method="post" action="login">'
        f'<label for="username">{both("login.user")}</label>'
        '<input id="username" name="username" autocomplete="username" autocapitalize="none" required autofocus>'
        f'<label for="password">{both("login.password")}</label>'
        '<input id="password" name="password" type="password" autocomplete="current-password" required>'
        f'<button>{both("login.enter")}</button><p id="told" role="alert">{told}</p></form></main></body></html>'
    )
