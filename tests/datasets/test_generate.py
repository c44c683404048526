"""Samples are asked for, kept, continued and paid for once, whatever happens on the way."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from custom_ai.datasets import generation
from custom_ai.datasets import pace as paces
from custom_ai.datasets.checks import parse_pairs
from custom_ai.datasets.generate import Generated, GenerateOptions, generate
from custom_ai.datasets.journal import Journal, read
from custom_ai.datasets.plan import make_plan
from custom_ai.datasets.sample import Sample, read_samples
from custom_ai.documents.store import open_store
from custom_ai.errors import Stopped, UserError
from custom_ai.projects.database import connect
from custom_ai.projects.project import Project
from custom_ai.providers.provider import RunFatal
from tests.datasets.corpus import Watch, add_document, make_project, prose
from tests.providers.fault_server import KEY, PASSING, SURVIVABLE, FaultServer

PROGRAM = Path(__file__).with_name("dying_generate.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)


@pytest.fixture
def project() -> Project:
    return make_project({f"{name}.txt": prose(seed, 32) for seed, name in enumerate("abc")})


def _generate(
    project: Project, server: FaultServer | str, watch: Watch | None = None, **options: Any
) -> Generated:
    url = server if isinstance(server, str) else server.openrouter
    values = {
        "count": 24,
        "model": "maker/model",
        "base_url": url,
        "retry_delay": 0.005,
        "pairs_per_request": 4,
        "wait_for_server": 0,
    }
    step = (watch or Watch(project.folder)).step
    return generate(project, "openrouter", GenerateOptions.parse({**values, **options}), step)


def _samples(project: Project) -> list[Sample]:
    return list(read_samples(project.samples))


def test_samples_arrive_with_all_their_provenance(project: Project) -> None:
    watch = Watch(project.folder)
    with FaultServer() as server:
        done = _generate(project, server, watch)
    samples = _samples(project)
    assert done.accepted == len(samples) == 24
    assert done.requests == server.total == 6
    assert done.cost == pytest.approx(0.0006)
    assert (done.quarantined, done.rejected, done.given_up) == (0, 0, 0)
    assert {sample.filename for sample in samples} == {"a.txt", "b.txt", "c.txt"}
    texts = {f"{name}.txt": prose(seed, 32) for seed, name in enumerate("abc")}
    for sample in samples:
        assert sample.quote_start is not None
        assert texts[sample.filename][sample.quote_start :].startswith(sample.quote)
        assert (sample.provider, sample.model, sample.language) == (
            "openrouter", "maker/model", "de",
        )  # fmt: skip
        assert sample.id and sample.group and sample.page and sample.prompt_version
        assert sample.heading_path == ("Kapitel",)
        assert sample.checks == {"quote": "exact", "numbers": "found"}
    assert len(watch.of("sample")) == 24
    assert [event["done"] for event in watch.of("progress")][-1] == 24


def test_every_line_has_what_other_programs_expect(project: Project) -> None:
    with FaultServer() as server:
        _generate(project, server)
    for line in project.samples.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert isinstance(row["instruction"], str) and isinstance(row["output"], str)
        assert row["split"] in ("train", "validation", "exam")


def test_the_same_command_again_asks_nothing(project: Project) -> None:
    with FaultServer() as server:
        _generate(project, server)
        before = project.samples.read_bytes()
        again = _generate(project, server)
        assert (again.accepted, again.requests, again.cost) == (24, 0, 0)
        assert server.total == 6
    assert project.samples.read_bytes() == before


def test_a_higher_count_asks_only_for_more(project: Project) -> None:
    with FaultServer() as server:
        _generate(project, server)
        first = _samples(project)
        more = _generate(project, server, count=30)
        assert (more.accepted, more.requests) == (30, 2)
    assert _samples(project)[:24] == first


def test_a_small_count_covers_every_document() -> None:
    project = make_project({f"{number}.txt": prose(number, 12) for number in range(6)})
    with FaultServer() as server:
        done = _generate(project, server, count=6)
    assert done.accepted == 6
    assert len({sample.filename for sample in _samples(project)}) == 6


def test_a_chunk_is_asked_again_only_after_all_others_and_told_what_it_was_asked() -> None:
    project = make_project({"a.txt": prose(0, 9)}, size=400, overlap=0)
    with FaultServer() as server:
        done = _generate(project, server, count=8, pairs_per_request=1)
    assert done.accepted == 8
    assert max(server.requests.values()) - min(server.requests.values()) <= 1
    repeated = [body for body in server.bodies if "gibt es schon" in body["messages"][1]["content"]]
    assert len(repeated) == server.total - len(server.requests)


def test_documents_that_have_no_more_to_give_say_so(project: Project) -> None:
    watch = Watch(project.folder)
    with FaultServer() as server:
        done = _generate(project, server, watch, count=1000)
        requests = server.total
        assert 60 <= done.accepted <= 96
        assert [event["code"] for event in watch.of("warning")] == ["datasets.exhausted"]
        assert _generate(project, server, count=1000).accepted == done.accepted
        assert server.total == requests
    assert requests < 60


def test_only_so_many_requests_run_at_once(project: Project) -> None:
    with FaultServer(delay=0.03) as server:
        _generate(project, server, count=40, pairs_per_request=2)
        assert server.most_under_way == 5
    with FaultServer(delay=0.02) as server:
        _generate(project, server, count=60, pairs_per_request=2, concurrency=2)
        assert server.most_under_way == 2


def test_no_count_is_exceeded(project: Project) -> None:
    with FaultServer(delay=0.01) as server:
        assert _generate(project, server, count=7).accepted == 7


@pytest.mark.parametrize("seed", range(5))
def test_with_many_faults_every_sample_still_arrives_once(project: Project, seed: int) -> None:
    with FaultServer(faults=PASSING, share=0.35, seed=seed) as server:
        done = _generate(project, server, retries=6)
    samples = _samples(project)
    assert done.accepted == len(samples) == 24
    assert len({sample.id for sample in samples}) == 24
    assert len({sample.instruction for sample in samples}) == 24
    assert done.requests == server.total
    paid = sum(server.served[fault] for fault in ("", "prose", "cut", "empty_content"))
    assert done.cost == pytest.approx(0.0001 * paid)


def test_with_more_than_thirty_kinds_of_faults_every_job_ends_with_a_reason_and_all_is_counted(
    project: Project,
) -> None:
    with FaultServer(faults=SURVIVABLE, share=0.4, seed=1, hang=0.2) as server:
        done = _generate(
            project, server, concurrency=20, count=150, pairs_per_request=1, wait_for_server=60
        )
    assert len(set(server.served) - {""}) >= 30
    contents = read(project.journal)
    ended = [*contents.of("answer"), *contents.of("given_up")]
    assert len({record["id"] for record in ended}) == len(ended)
    assert all(record["reason"] for record in contents.of("given_up"))
    assert all(record["reason"] for record in contents.of("attempt"))
    assert done.requests == server.total
    paid = [r for r in contents.records if "usage" in r and r["usage"]["cost"] != "0"]
    served = ("", "prose", "cut", "empty_content", "refusal", "no_pairs", "wrong_pairs",
              "surrogates")  # fmt: skip
    assert len(paid) == sum(server.served[fault] for fault in served)
    judged = done.accepted + done.quarantined + done.rejected
    assert judged == sum(len(parse_pairs(r["text"], 1)) for r in contents.of("answer"))


def test_a_run_waits_for_a_server_that_is_gone_and_gives_nothing_up(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paces, "PROBES", (0.1,))
    watch = Watch(project.folder)
    with FaultServer(delay=0.02) as server:
        port = server.port
        back: list[FaultServer] = []

        leaving = threading.Lock()

        def vanish() -> None:
            # Two answers at the same moment: it goes once.
            if server.answered.total() >= 3 and leaving.acquire(blocking=False):
                threading.Thread(target=come_back).start()

        def come_back() -> None:
            server.stop()
            time.sleep(1.0)
            back.append(FaultServer(port=port).__enter__())

        server.on_answer = vanish
        # It takes a moment to go, in which it breaks one connection after the other.
        done = _generate(
            project, server, watch, concurrency=2, wait_for_server=60, retry_delay=0.05
        )
    back[0].stop()
    codes = [event["code"] for event in watch.of("warning")]
    assert codes == ["datasets.server_gone", "datasets.server_back"]
    assert (done.accepted, done.given_up) == (24, 0)
    assert len({sample.instruction for sample in _samples(project)}) == 24


def test_a_chunk_that_is_too_long_for_the_model_is_asked_about_in_halves(project: Project) -> None:
    with FaultServer() as server:
        with open_store(project) as store:
            plan = make_plan(store, Journal(project.journal), 0)
        server.too_long = 500
        done = _generate(project, server, count=40)
        longest = max(len(passage) for passage in server.answered)
        assert longest <= 500 < max(len(question.chunk.text) for question in plan)
        assert (done.accepted, done.given_up) == (40, 0)
        # What was learned about the halves is known again, and none is asked the same twice.
        asked = server.answered.copy()
        more = _generate(project, server, count=60)
        assert more.accepted >= 40
    assert len({sample.instruction for sample in _samples(project)}) == more.accepted
    assert asked.total() < server.answered.total()


def test_a_short_chunk_that_is_too_long_is_given_up_with_its_reason(project: Project) -> None:
    with FaultServer() as server:
        server.always = "400_context"
        with pytest.raises(RunFatal):
            _generate(project, server)
    given_up = list(read(project.journal).of("given_up"))
    assert given_up and all("context" in record["reason"] for record in given_up)


def test_what_was_paid_for_and_is_useless_is_written_down(project: Project) -> None:
    with FaultServer(("prose", "cut", "refusal")) as server:
        _generate(project, server, concurrency=1, count=12)
        assert server.total == 3 + 3
    contents = read(project.journal)
    assert [record["reason"] for record in contents.of("attempt")] == [
        "no JSON",
        "cut off",
        "refused",
    ]
    assert [record["reason"] for record in contents.of("given_up")] == ["refused"]
    tokens = [body["max_tokens"] for body in server.bodies[:3]]
    assert tokens[0] == tokens[1] < tokens[2]


def test_a_rate_limit_does_not_use_up_the_retries(project: Project) -> None:
    with FaultServer(("429_negative",) * 6) as server:
        done = _generate(project, server, concurrency=1, retries=1, count=12)
    assert (done.accepted, done.given_up, done.requests) == (12, 0, 6 + 3)


def test_a_limit_until_tomorrow_stops_the_run(project: Project) -> None:
    with FaultServer(("", "429_huge")) as server, pytest.raises(RunFatal) as caught:
        _generate(project, server, concurrency=1)
    assert caught.value.code == "datasets.rate_limited"
    assert int(caught.value.values["seconds"]) >= 86400
    assert len(_samples(project)) == 4


@pytest.mark.parametrize("fault", ["401", "402", "403", "404", "redirect"])
def test_what_no_request_can_survive_stops_the_run_and_keeps_what_came(
    project: Project, fault: str
) -> None:
    with FaultServer(("", "", fault), delay=0.02) as server:
        server.always = fault
        with pytest.raises(RunFatal):
            _generate(project, server)
        assert len(_samples(project)) == 8
        assert server.total <= 2 + 5
        assert list(read(project.journal).of("given_up")) == []
        server.always = ""
        done = _generate(project, server)
    assert done.accepted == 24
    assert max(server.answered.values()) == 1


def test_answers_under_way_are_kept_when_the_credit_ends(project: Project) -> None:
    with FaultServer(("402",), delay=0.03) as server, pytest.raises(RunFatal):
        _generate(project, server)
    answered = sum(server.answered.values())
    assert answered == 4
    assert len(list(read(project.journal).of("answer"))) == answered


def test_a_server_that_vanishes_stops_the_run_and_nothing_is_given_up(project: Project) -> None:
    with FaultServer(delay=0.02) as server:

        def vanish() -> None:
            if server.answered.total() >= 3:
                threading.Thread(target=server.stop).start()

        server.on_answer = vanish
        with pytest.raises(RunFatal) as caught:
            _generate(project, server, concurrency=1)
    assert caught.value.code == "providers.not_reachable"
    contents = read(project.journal)
    assert list(contents.of("given_up")) == []
    kept = len(list(contents.of("answer")))
    assert kept in (2, 3)
    with FaultServer() as server:
        assert _generate(project, server).accepted == 24
        assert server.total == 6 - kept


def test_a_server_that_only_fails_stops_the_run_and_nothing_is_given_up(project: Project) -> None:
    with FaultServer() as server:
        server.always = "500"
        with pytest.raises(RunFatal) as caught:
            _generate(project, server, retries=1)
        assert caught.value.code == "datasets.server_failing"
        assert server.total <= 2 * 5 + 5
        assert list(read(project.journal).of("given_up")) == []
        server.always = ""
        assert _generate(project, server).accepted == 24


def test_a_job_that_breaks_the_server_is_given_up_once_others_work(project: Project) -> None:
    watch = Watch(project.folder)
    with FaultServer() as server:
        with open_store(project) as store:
            first = make_plan(store, Journal(project.journal), 0)[0]
        server.breaking = first.chunk.text.strip()
        done = _generate(project, server, watch, concurrency=1, retries=1)
        assert server.requests[server.breaking] == 2
    assert (done.accepted, done.given_up) == (24, 1)
    assert [event["code"] for event in watch.of("warning")] == ["datasets.given_up"]


def test_a_model_that_never_gives_a_usable_answer_stops_the_run(project: Project) -> None:
    with FaultServer() as server:
        server.always = "prose"
        with pytest.raises(RunFatal) as caught:
            _generate(project, server, concurrency=2)
    assert caught.value.code == "datasets.useless_answers"
    assert server.total <= 12 * 3


def test_a_pause_keeps_what_is_under_way_and_the_next_call_continues(project: Project) -> None:
    with FaultServer(delay=0.5) as server:
        watch = Watch(project.folder, wish=lambda: "pause" if server.answered.total() > 1 else None)
        with pytest.raises(Stopped) as caught:
            _generate(project, server, watch, concurrency=2)
        assert caught.value.wish == "pause"
        answered = server.answered.total()
        assert answered < 6
        assert len(list(read(project.journal).of("answer"))) == answered == server.total
        assert len(_samples(project)) == 4 * answered
        assert _generate(project, server).accepted == 24
        assert server.total == 6


def test_a_pause_does_not_wait_for_a_retry(project: Project) -> None:
    with FaultServer() as server:
        server.always = "503"
        began = time.monotonic()
        watch = Watch(project.folder, wish=lambda: "cancel" if server.total else None)
        with pytest.raises(Stopped):
            _generate(project, server, watch, retry_delay=30)
        assert time.monotonic() - began < 5


def test_an_answer_that_does_not_come_can_not_hold_up_a_pause(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "GRACE_SECONDS", 0.3)
    with FaultServer(("", "hang")) as server:
        began = time.monotonic()
        watch = Watch(project.folder, wish=lambda: "pause" if server.total > 1 else None)
        with pytest.raises(Stopped):
            _generate(project, server, watch, concurrency=1)
        assert time.monotonic() - began < 5
        assert len(_samples(project)) == 4
        assert _generate(project, server).accepted == 24


def test_ollama_writes_a_hundred_samples_too_whatever_fails() -> None:
    project = make_project({f"{name}.txt": prose(seed, 64) for seed, name in enumerate("abcd")})
    faults = (*PASSING, "not_done", "full_context")
    with FaultServer(faults=tuple(set(faults) - {"no_choices"}), share=0.3) as server:
        options = GenerateOptions(
            count=100, model="llama3.2", base_url=server.ollama, retry_delay=0.005
        )
        done = generate(project, "ollama", options, Watch(project.folder).step)
    assert (done.accepted, done.cost, done.requests) == (100, 0, server.total)
    assert {sample.model for sample in _samples(project)} == {"llama3.2:latest"}
    assert server.most_under_way == 1


def test_ollama_that_is_not_running_leaves_the_samples_alone(project: Project) -> None:
    with FaultServer() as server:
        _generate(project, server)
        url = server.ollama
    before = project.samples.read_bytes()
    with pytest.raises(RunFatal) as caught:
        options = GenerateOptions(model="llama3.2", base_url=url)
        generate(project, "ollama", options, Watch(project.folder).step)
    assert caught.value.code == "providers.ollama_not_running"
    assert project.samples.read_bytes() == before


def test_each_model_has_its_own_count(project: Project) -> None:
    with FaultServer() as server:
        _generate(project, server, count=8)
        other = _generate(project, server, count=8, model="maker/other")
    assert other.accepted == 8
    assert Counter(sample.model for sample in _samples(project)) == {
        "maker/model": 8, "maker/other": 8,
    }  # fmt: skip


def test_a_project_without_documents_is_told_what_to_do() -> None:
    project = make_project({})
    with pytest.raises(UserError) as caught:
        _generate(project, "http://127.0.0.1:9")
    assert caught.value.code == "datasets.nothing_to_ask"


def test_samples_of_a_removed_document_are_left_out_until_it_is_back(project: Project) -> None:
    with FaultServer() as server:
        _generate(project, server)
        with connect(project.database) as db:
            db.execute("DELETE FROM sources WHERE filename = 'a.txt'")
        _generate(project, server, count=1)
        assert {sample.filename for sample in _samples(project)} == {"b.txt", "c.txt"}
        add_document(project, "a.txt", prose(0, 32))
        assert _generate(project, server).accepted == 24
    assert server.total == 6


def test_the_key_is_nowhere_but_in_the_requests(project: Project, own_home: Path) -> None:
    seen = ""
    for fault in ("401", "403", "echo", "prose"):
        watch = Watch(project.folder)
        with FaultServer((fault,)) as server:
            try:
                _generate(project, server, watch, concurrency=1, model=f"maker/{fault}")
            except UserError as error:
                seen += repr(error) + str(error) + json.dumps(error.as_json())
            assert server.keys == {f"Bearer {KEY}"}
        seen += json.dumps(watch.events)
    files = [path for path in own_home.rglob("*") if path.is_file()]
    assert project.samples in files and project.journal in files
    assert KEY not in seen
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def _trials(
    kind: str, project: Project, server: FaultServer, scratch: Path, *more: str
) -> list[dict[str, Any]]:
    command = [sys.executable, str(PROGRAM), kind, server.openrouter]
    done = subprocess.run(
        [*command, str(project.folder), str(scratch), *more],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_killed_at_every_write_of_the_journal_nothing_is_lost_or_doubled(
    project: Project, tmp_path: Path
) -> None:
    with FaultServer() as server:
        trials = _trials("kill", project, server, tmp_path)
        requests = server.total
    assert trials[-1]["first"] == 0 and len(trials) > 3 * 6
    killed = trials[:-1]
    assert {trial["first"] for trial in killed} == {-9}
    assert {trial["second"] for trial in trials} == {0}
    # Each kill costs at most what was under way: one request, and one on its way to the disk.
    assert 6 * len(trials) <= requests <= 6 * len(trials) + 2 * len(killed)
    whole = {sample.id for sample in _of(tmp_path, trials[-1])}
    assert len(whole) == 24
    for trial in killed:
        samples = _of(tmp_path, trial)
        assert len(samples) == 24 and {sample.id for sample in samples} == whole
        contents = read(tmp_path / f"{trial['mode']}-{trial['number']}/data/sft_journal.jsonl")
        assert contents.ignored == 0
        acknowledged = [line for line in trial["journal"].splitlines(True) if line.endswith("\n")]
        kept = [json.loads(line)["id"] for line in acknowledged if '"answer"' in line]
        assert set(kept) <= contents.ids


def test_killed_at_random_moments_nothing_is_lost_or_doubled(
    project: Project, tmp_path: Path
) -> None:
    with FaultServer(delay=0.06) as server:
        trials = _trials("random", project, server, tmp_path, "12")
        # They were killed in the middle of it: what was under way had to be asked again.
        assert server.total > 6 * 12
    assert {trial["first"] for trial in trials} <= {-9, 0} and len(trials) == 12
    assert sum(trial["first"] == -9 for trial in trials) >= 4
    for trial in trials:
        samples = _of(tmp_path, trial)
        assert len({sample.id for sample in samples}) == len(samples) == 24
        contents = read(tmp_path / f"{trial['mode']}-{trial['number']}/data/sft_journal.jsonl")
        acknowledged = [line for line in trial["journal"].splitlines(True) if line.endswith("\n")]
        kept = [json.loads(line)["id"] for line in acknowledged if '"answer"' in line]
        assert set(kept) <= contents.ids and contents.ignored == 0


def test_a_full_disk_leaves_the_journal_whole(project: Project, tmp_path: Path) -> None:
    with FaultServer() as server:
        trials = _trials("full", project, server, tmp_path)
    failed = [trial for trial in trials if trial["first"] == 3]
    assert len(failed) >= 6 and {trial["second"] for trial in trials} == {0}
    for trial in trials:
        assert trial["journal"].endswith("\n")
        for line in trial["journal"].splitlines():
            json.loads(line)
        assert len(_of(tmp_path, trial)) == 24


def _of(scratch: Path, trial: dict[str, Any]) -> list[Sample]:
    return _samples(Project(scratch / f"{trial['mode']}-{trial['number']}"))
