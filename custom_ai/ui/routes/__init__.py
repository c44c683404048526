"""HTML fragments and JSON for the parts of the page that show the state of things."""

from custom_ai.ui.routes import projects, pulse, runs

ROUTERS = (pulse.router, projects.router, runs.router)
