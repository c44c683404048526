"""The app: one page in the browser, on this computer only.

Gradio draws the forms and runs their actions (`tabs/`, `form.py`, `screen.py`). What shows the
state of things (lists, runs, curves, the review of samples, the conversation) are HTML fragments
and JSON from `routes/`, refreshed whenever the project changes (`routes/pulse.py`). All state lies
in the project's folder; the app keeps none of its own.
"""
