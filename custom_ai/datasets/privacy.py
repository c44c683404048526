"""Whether passages of the documents leave this machine, and whether people have agreed to that."""

from datetime import UTC, datetime
from typing import Any

from yarl import URL

from custom_ai import settings
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.providers import provider as providers
from custom_ai.providers.http import is_loopback


def destination(provider_name: str, base_url: str = "") -> str:
    """The host that passages would be sent to; "" where they stay on this machine.

    Raises UserError for an unknown provider.
    """
    try:
        url = URL(address(provider_name, base_url))
    except ValueError:
        # No address at all: the provider says so.
        return ""
    return "" if is_loopback(url) else (url.host or "")


def address(provider_name: str, base_url: str = "") -> str:
    """Where a provider's server is; "" for a provider that works without one."""
    own = f"{providers.find(provider_name).name}_url"
    known = settings.load().model_dump().get(own)
    return "" if known is None else base_url.strip() or str(known)


def consented(project: Project, host: str) -> dict[str, str] | None:
    """When, and for which provider, people agreed to this host; None where they did not."""
    return project.config.consents.get(host)


def agree(project: Project, host: str, provider_name: str) -> None:
    """Note that people agreed that passages of this project are sent to this host."""
    said = {"provider": provider_name, "time": datetime.now(UTC).isoformat(timespec="seconds")}
    project.change(consents={**project.config.consents, host: said})


def take_back(project: Project, host: str) -> None:
    """Forget an agreement: the next run asks again."""
    consents = {name: said for name, said in project.config.consents.items() if name != host}
    project.change(consents=consents)


def require(project: Project, options: dict[str, Any]) -> None:
    """Raise UserError where passages would leave this machine and nobody has agreed yet.

    options: {"provider", "base_url", …}, as a run of samples has them.
    """
    host = destination(options["provider"], options.get("base_url", ""))
    if host and not consented(project, host):
        raise UserError("datasets.no_consent", project=project.slug, host=host)
