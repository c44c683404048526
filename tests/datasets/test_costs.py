"""What a generation costs: known before, watched meanwhile, never more than allowed."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from custom_ai.cli.main import main
from custom_ai.datasets.budget import Budget, OverBudget
from custom_ai.datasets.estimate import estimate
from custom_ai.datasets.generate import GenerateOptions, generate
from custom_ai.datasets.journal import read
from custom_ai.datasets.trial import try_out
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.providers.provider import (
    Message,
    Price,
    ProviderOptions,
    Request,
    RunFatal,
    Usage,
    find,
)
from tests.datasets.corpus import Watch, make_project, prose
from tests.providers.fault_server import KEY, FaultServer, openrouter_model

MODEL = "maker/model"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)


@pytest.fixture
def project() -> Project:
    return make_project({f"{name}.txt": prose(seed, 64) for seed, name in enumerate("abcd")})


def _options(server: FaultServer, model: str = MODEL, **more: object) -> GenerateOptions:
    return GenerateOptions.parse(
        {"model": model, "base_url": server.openrouter, "retry_delay": 0.005, **more}
    )


def _request(characters: int = 3000) -> Request:
    return Request((Message("user", "x" * characters),), None, 1000, 0, 0)


def test_a_budget_sets_aside_the_most_a_request_can_cost() -> None:
    price = Price(Decimal("0.000001"), Decimal("0.000002"))
    budget = Budget(Decimal("0.01"), Decimal(0), price)
    assert budget.most(_request()) == 2 * (Decimal("0.001") + Decimal("0.002"))
    with budget.aside(_request()), pytest.raises(OverBudget), budget.aside(_request()):
        pass
    with budget.aside(_request()):
        budget.pay(Usage(cost=Decimal("0.005")))
    with pytest.raises(OverBudget), budget.aside(_request()):
        pass


def test_without_a_known_price_the_dearest_answer_counts() -> None:
    budget = Budget(Decimal("0.01"), Decimal(0), None)
    budget.pay(Usage(cost=Decimal("0.004")))
    with pytest.raises(OverBudget), budget.aside(_request()):
        pass


@pytest.mark.parametrize("parallel", [1, 5, 20])
def test_a_run_never_costs_more_than_its_budget(project: Project, parallel: int) -> None:
    watch = Watch(project.folder)
    with FaultServer(delay=0.01) as server:
        # Each answer costs 0.0001; the list price allows for about four times that.
        server.models = [openrouter_model(MODEL, "0.00000005", "0.00000005")]
        options = _options(server, budget=0.002, concurrency=parallel, count=200)
        done = generate(project, "openrouter", options, watch.step)
    assert 0 < done.cost <= 0.002
    assert [event["code"] for event in watch.of("warning")] == ["datasets.budget_reached"]
    paid = sum(Decimal(r["usage"]["cost"]) for r in read(project.journal).of("answer"))
    assert paid == Decimal(str(round(done.cost, 6)))


def test_a_run_that_goes_on_counts_what_it_spent_before(project: Project) -> None:
    with FaultServer() as server:
        server.models = [openrouter_model(MODEL, "0.00000002", "0.00000002")]
        generate(project, "openrouter", _options(server, count=20), Watch(project.folder).step)
        spent = server.total * 0.0001
        watch = Watch(project.folder)
        options = _options(server, count=200, budget=spent + 0.00015)
        done = generate(project, "openrouter", options, watch.step)
    assert done.requests <= 2
    assert watch.of("progress")[-1]["cost"] <= spent + 0.00015


def test_an_estimate_knows_price_requests_and_quota_and_costs_nothing(project: Project) -> None:
    with FaultServer() as server:
        server.models = [openrouter_model(MODEL, "0.000001", "0.000004")]
        found = estimate(project, "openrouter", _options(server, count=100))
        assert server.total == 0
    assert found.missing == 100 and found.requests == (20, 28)
    assert found.cost is not None and Decimal("0.05") < found.cost[0] < found.cost[1]
    assert found.account is not None and found.account.free_left == 42
    assert not found.too_many_for_today


def test_what_was_generated_costs_no_more_than_was_estimated(project: Project) -> None:
    with FaultServer() as server:
        server.models = [openrouter_model(MODEL, "0.0000001", "0.000001")]
        options = _options(server, count=40)
        found = estimate(project, "openrouter", options)
        done = generate(project, "openrouter", options, Watch(project.folder).step)
    assert found.cost is not None
    assert found.requests[0] <= done.requests <= found.requests[1]
    assert Decimal(str(done.cost)) <= found.cost[1]


def test_a_free_account_gets_a_hundred_samples_for_25_requests(project: Project) -> None:
    free = "maker/model:free"
    many = make_project({f"{n}.txt": prose(n, 20) for n in range(60)}, name="Many")
    with FaultServer() as server:
        for each in (project, many):
            options = _options(server, free, count=100, requests_per_minute=100_000)
            found = estimate(each, "openrouter", options)
            assert found.by_day and found.requests[0] <= 25
            done = generate(each, "openrouter", options, Watch(each.folder).step)
            assert done.accepted == 100 and done.requests <= 25


def test_a_free_model_is_asked_at_most_18_times_a_minute() -> None:
    async def terms() -> int:
        with FaultServer() as server:
            provider = find("openrouter")
            values = {"model": "a/b:free", "base_url": server.openrouter}
            async with provider.open(provider.options.parse(values)) as session:
                return session.terms.per_minute

    assert asyncio.run(terms()) == 18


def test_the_quota_is_shown_before_a_run_starts(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultServer() as server:
        server.account["free_model_daily_requests"]["remaining"] = 3
        command = ["samples", "estimate", project.slug, "--provider", "openrouter"]
        command += ["--model", "maker/model:free", "--base-url", server.openrouter]
        assert main(command) == 0
        shown = capsys.readouterr().out
        assert main([*command, "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert server.total == 0
    assert "left today: 3 of 50" in shown and "more than is left today" in shown
    assert data["free_left"] == 3 and data["too_many_for_today"] is True


def test_a_trial_first_costs_nothing_then_asks_with_the_real_schema() -> None:
    with FaultServer() as server:
        free = try_out("openrouter", _options(server), ask=False)
        assert server.total == 0 and free.account.free_left == 42
        asked = try_out("openrouter", _options(server))
        assert server.total == 1 and asked.pairs == 1 and asked.cost == Decimal("0.0001")
        schema = server.bodies[0]["response_format"]["json_schema"]["schema"]
        assert schema["required"] == ["pairs"]


def test_a_wrong_key_is_found_out_before_anything_is_asked() -> None:
    with FaultServer(("401",)) as server, pytest.raises(RunFatal) as caught:
        try_out("openrouter", _options(server))
    assert caught.value.code == "providers.openrouter_wrong_key" and server.total == 0
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "code"),
    [("prose", "datasets.trial_useless"), ("cut", "datasets.trial_useless"),
     ("503", "datasets.trial_failed"), ("402", "providers.openrouter_no_credit")],
)  # fmt: skip
def test_a_trial_says_what_is_wrong(fault: str, code: str) -> None:
    with FaultServer() as server:
        server.always = fault
        with pytest.raises(UserError) as caught:
            try_out("openrouter", _options(server))
    assert caught.value.code == code


def test_models_are_listed_with_price_and_context(capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer() as server:
        server.models = [
            openrouter_model("b/dear", "0.000003", "0.000015"),
            {**openrouter_model("a/free:free", "0", "0"), "supported_parameters": []},
            {"id": "odd", "pricing": {"prompt": "-1", "completion": "x"}, "context_length": "many"},
        ]  # fmt: skip
        base = ["providers", "models", "openrouter", "--base-url", server.openrouter]
        assert main(base) == 0
        shown = capsys.readouterr().out
        assert main([*base, "--free", "--json"]) == 0
        free = json.loads(capsys.readouterr().out)
        assert server.keys == set()
    assert "b/dear" in shown and "3.00" in shown and "15.00" in shown and "32768" in shown
    assert "knows no JSON schemas" in shown and "odd" in shown
    assert [model["name"] for model in free] == ["a/free:free"]


def test_the_dearest_server_is_named_in_the_request(project: Project) -> None:
    with FaultServer() as server:
        server.models = [openrouter_model(MODEL, "0.000001", "0.000004")]
        generate(project, "openrouter", _options(server, count=4), Watch(project.folder).step)
    assert server.bodies[0]["provider"]["max_price"] == {"prompt": 2.0, "completion": 8.0}


def test_privacy_can_be_switched_and_is_on_by_default(project: Project, tmp_path: Path) -> None:
    with FaultServer() as server:
        options = _options(server, count=4, deny_data_collection=False, distillable_only=False)
        generate(project, "openrouter", options, Watch(project.folder).step)
        rules = server.bodies[0]["provider"]
        assert rules["data_collection"] == "allow" and "enforce_distillable_text" not in rules


@pytest.mark.parametrize("url", ["https://openrouter.example/api/v1", "https://10.0.0.8/v1"])
def test_the_key_goes_to_no_other_server(url: str) -> None:
    with pytest.raises(RunFatal) as caught:
        asyncio.run(find("openrouter").account(ProviderOptions(base_url=url)))
    assert caught.value.code == "providers.key_elsewhere"


def test_the_key_of_one_compatible_server_does_not_go_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", KEY)
    with FaultServer() as server, pytest.raises(RunFatal) as caught:
        asyncio.run(find("openai_compatible").models(ProviderOptions(base_url=server.openrouter)))
    assert caught.value.code == "providers.key_elsewhere" and server.keys == set()
