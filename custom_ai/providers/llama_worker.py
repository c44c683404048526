"""The child process around llama.cpp: loads one model, says where it listens, ends with its parent.

Usage: python -m custom_ai.providers.llama_worker MODEL THREADS CONTEXT [ADAPTER]
The first line on stdin is the key that requests must carry. The one line on stdout is a JSON
object, {"address": [host, port]} or {"error": words}. The process ends when stdin does, so it can't
outlive a parent that was killed.
"""

import json
import os
import sys
from typing import Any
from urllib.parse import urlsplit


def main(model: str, threads: int, context: int, adapter: str = "") -> None:
    """Serve one model on a loopback port of the system's choice until stdin ends.

    adapter: the GGUF file of a LoRA adapter that is to change it.
    """
    # llama.cpp prints where it likes; only our one line may reach the parent's pipe.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    key = sys.stdin.readline().strip()
    try:
        server = _start(model, threads, context, key, adapter)
    except (RuntimeError, ValueError) as error:
        answer.write(json.dumps({"error": str(error)}) + "\n")
        answer.flush()
        raise
    place = urlsplit(server.listening_address)
    answer.write(json.dumps({"address": [place.hostname, place.port]}) + "\n")
    answer.flush()
    sys.stdin.read()
    # llama.cpp's own farewell can take seconds and has nothing left to save.
    os._exit(0)


def _start(model: str, threads: int, context: int, key: str, adapter: str) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx = context
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.fit_params = False
    params.warmup = False
    params.ui = False
    params.port = 0
    params.api_keys = [key]
    params.n_threads_http = 2
    if adapter:
        lora = xllamacpp.CommonAdapterLoraInfo()
        lora.path, lora.scale = adapter, 1.0
        params.lora_adapters = [lora]
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
