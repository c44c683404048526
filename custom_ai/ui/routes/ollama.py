"""The chip of Ollama in the top bar."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from custom_ai import settings
from custom_ai.errors import UserError
from custom_ai.providers import ollama_list
from custom_ai.ui.here import Spoken
from custom_ai.ui.render import render

router = APIRouter(prefix="/api", route_class=Spoken, default_response_class=HTMLResponse)


@router.get("/ollama")
async def ollama() -> str:
    """Whether Ollama answers, its version, and how many models it has."""
    url = settings.load().ollama_url
    try:
        found = await ollama_list.ask(url)
    except UserError as error:
        return render("ollama", found=None, error=error, url=url)
    return render("ollama", found=found, error=None, url=url)
