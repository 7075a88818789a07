"""`GET /`: the page, one file made of `serve/page.html`, `page.css` and `page.js`; nothing comes from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from trimtab.serve.endpoints import Endpoint
from trimtab.serve.server import Server


def endpoints(server: Server) -> list[Endpoint]:
    """`GET /`; without a key, for it says nothing that a request with one does not have to ask for."""
    html, headers = built()

    async def page(request: Request) -> Response:
        return Response(html, headers=headers, media_type="text/html")

    return [Endpoint("GET", "/", page, "open")]


def built() -> tuple[str, dict[str, str]]:
    """The page, and headers by which a browser runs no other script than the page's own, and loads nothing else."""
    folder = resources.files("trimtab.serve")
    parts = {name: folder.joinpath(f"page.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")}
    html = parts["html"].replace("$style", parts["css"], 1).replace("$script", parts["js"], 1)
    policy = (
        f"default-src 'none'; script-src '{_digest(parts['js'])}'; style-src '{_digest(parts['css'])}'; "
        "connect-src 'self'; img-src data:; media-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html, {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
