"""Gradio imported as a library is: nothing in its folder is written.

Each import of Gradio 6.31 parses the source of all its components, to bring the `.pyi` files beside
them up to date, which only serve editors. That takes almost half of the import, fails to be safe
when two programs start at once, and has no place in an installed product.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

_MODULE, _FUNCTION = "gradio.component_meta", "create_or_modify_pyi"


def without_stubs() -> None:
    """Make the first `import gradio` of this process leave its `.pyi` files alone."""
    if _MODULE not in sys.modules and not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec and spec.origin:
            spec.loader = _Loader(fullname, spec.origin)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        # Its callers look it up when they import this module, which is after this.
        if hasattr(module, _FUNCTION):
            setattr(module, _FUNCTION, lambda *_: None)
