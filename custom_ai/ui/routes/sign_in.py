"""Signing in with OpenRouter, beside pasting a key."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from custom_ai.errors import UserError
from custom_ai.ui import signing_in
from custom_ai.ui.here import Spoken
from custom_ai.ui.render import render

router = APIRouter(prefix="/api/sign-in", route_class=Spoken, default_response_class=HTMLResponse)

# Whoever shows keys asks again.
_SIGNED_IN = {"HX-Trigger": "ca:settings"}


def sign_in(opens: bool = False, problem: UserError | None = None) -> str:
    """The button, or how the attempt stands. opens: the browser goes to the page at once."""
    attempt = signing_in.current()
    waiting = attempt if attempt and not attempt.over else None
    problem = problem or (attempt.problem if attempt else None)
    return render("sign_in", attempt=waiting, opens=opens, problem=problem)


@router.post("")
def begin() -> str:
    """Begin to sign in."""
    signing_in.begin()
    return sign_in(opens=True)


@router.get("")
def look() -> Response:
    """How it stands, once the waiting is over."""
    attempt = signing_in.current()
    if attempt and not attempt.over:
        return Response(status_code=204)
    return HTMLResponse(sign_in(), headers={} if attempt else _SIGNED_IN)


@router.post("/stop")
def stop() -> str:
    """Give the attempt up."""
    if attempt := signing_in.current():
        attempt.stop()
    return sign_in()


@router.post("/code")
async def paste(request: Request) -> Response:
    """Take the code that OpenRouter's page has shown. It is never repeated in a message."""
    async with request.form() as form:
        code = form.get("code")
    attempt = signing_in.current()
    if attempt is None or attempt.over:
        return HTMLResponse(sign_in())
    try:
        await run_in_threadpool(attempt.paste, code if isinstance(code, str) else "")
    except UserError as error:
        return HTMLResponse(sign_in(problem=error))
    return HTMLResponse(sign_in(), headers=_SIGNED_IN)
