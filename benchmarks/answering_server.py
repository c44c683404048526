"""A server so light that it is not what a benchmark of its clients measures.

    python -m benchmarks.answering_server [LEAST MOST]

Prints its port. Speaks OpenRouter's and Ollama's wire formats over bare asyncio; each answer comes
after a time drawn evenly between LEAST and MOST seconds, and holds pairs about the passage that was
sent, about whole sentences only, so that every contender needs as many requests. GET /stats says
how many answers it gave and how long they were held back, all in all; asking sets both to zero.
"""

import asyncio
import json
import random
import re
import sys
from typing import Any

_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)
_PASSAGE = re.compile(r"(=====[^\n]*=====)\n(.*?)\n\1", re.DOTALL)
_COUNT = re.compile(r"(?:Number of questions|Anzahl der Fragen): (\d+)")
_SHORTEST = 40
_SENTENCE = re.compile(r"[^.!?]+[.!?]")


class Server(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    answers = 0
    held = 0.0
    least, most = 0.05, 0.5
    draw = random.Random(1)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, gap, body = self.data.partition(b"\r\n\r\n")
        if not gap:
            return
        found = _LENGTH.search(head)
        length = int(found[1]) if found else 0
        if len(body) < length:
            if b"100-continue" in head.lower():
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self.data = b""
        path = head.split(b" ", 2)[1]
        if path == b"/stats":
            self.say({"answers": Server.answers, "held": Server.held})
            Server.answers, Server.held = 0, 0.0
        elif path.endswith(b"/chat/completions"):
            self.later(openrouter(json.loads(body)))
        elif path == b"/api/chat":
            self.later(ollama(json.loads(body)))
        elif path == b"/api/tags":
            self.say({"models": [{"name": "m:latest", "model": "m:latest"}]})
        elif path == b"/api/show":
            self.say({"capabilities": ["completion"], "model_info": {"m.context_length": 40960}})
        else:
            self.say({"data": [{"id": "m"}]})

    def later(self, value: Any) -> None:
        seconds = Server.draw.uniform(Server.least, Server.most)
        Server.held += seconds
        Server.answers += 1
        asyncio.get_running_loop().call_later(seconds, self.say, value)

    def say(self, value: Any) -> None:
        body = json.dumps(value, ensure_ascii=False).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self.transport.write(head.encode() + b"\r\n\r\n" + body)


def openrouter(asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "gen-1", "object": "chat.completion", "created": 1, "model": asked["model"],
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": pairs(asked)},
        }],
        "usage": {
            "prompt_tokens": 300, "completion_tokens": 80, "total_tokens": 380, "cost": 0.0001,
        },
    }  # fmt: skip


def ollama(asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": asked["model"], "created_at": "2026-11-01T00:00:00Z", "done": True,
        "message": {"role": "assistant", "content": pairs(asked)}, "done_reason": "stop",
        "total_duration": 1, "load_duration": 1, "prompt_eval_count": 300,
        "prompt_eval_duration": 1, "eval_count": 80, "eval_duration": 1,
    }  # fmt: skip


def pairs(asked: dict[str, Any]) -> str:
    text = asked["messages"][-1]["content"]
    passage, count = _PASSAGE.search(text), _COUNT.search(text)
    sentences = [" ".join(s.split()) for s in _SENTENCE.findall(passage[2] if passage else text)]
    made = []
    for sentence in sentences:
        question = f"Was gilt hier: {' '.join(sentence.split()[:7])} …?"
        # A chunk may begin, or end, in the middle of a sentence, which no check would let pass.
        if question not in text and len(sentence) >= _SHORTEST:
            made.append(
                {"instruction": question, "output": sentence, "quote": sentence, "kind": "fact"}
            )
        if len(made) == (int(count[1]) if count else 1):
            break
    return json.dumps({"pairs": made}, ensure_ascii=False)


async def main(least: float, most: float) -> None:
    Server.least, Server.most = least, most
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    # It ends with whoever started it.
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*(map(float, sys.argv[1:3]) if len(sys.argv) > 2 else (0.05, 0.5))))
