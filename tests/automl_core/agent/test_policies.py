import numpy as np
import pytest
import torch

from automl_core.agent.graph import DesignGraph
from automl_core.agent.memory import Memory
from automl_core.agent.named import load_named, saved_tensors
from automl_core.agent.networks import POLICIES
from automl_core.agent.scales import Scales
from automl_core.space import Relaxation
from automl_core.testing import Allocation, Kinds
from tests.automl_core.agent.problems import Amplifier, policy_of, remembered, told


@pytest.mark.parametrize("kind", POLICIES)
def test_gradients_reach_every_parameter_of_policy_and_critic(kind: str) -> None:
    graph, memory, scales = remembered(Amplifier())
    actor, critic = policy_of(kind, graph, memory, scales)
    state = memory.states([-1, 0, 3, 5], [Amplifier.specs])
    critic(state, actor(state)).sum().backward()
    for module in (actor, critic):
        for name, parameter in module.named_parameters():
            if parameter.numel():
                assert parameter.grad is not None and parameter.grad.abs().sum() > 0, f"{kind}: {name}"


@pytest.mark.parametrize("kind", POLICIES)
def test_a_policy_overfits_a_known_optimum(kind: str) -> None:
    problem = Amplifier()
    graph, memory, scales = remembered(problem)
    actor, _ = policy_of(kind, graph, memory, scales)
    state = memory.states([-1, 0, 1, 2], [problem.specs])
    wanted = torch.tensor(problem.wanted)
    adam = torch.optim.Adam(actor.parameters(), lr=1e-2)
    for _ in range(200):
        loss = (actor(state)[:1] - wanted).abs().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert (
        problem.evaluate(problem.space.decode(actor(state)[0].detach().double().numpy()), "", 0).metrics["error"] < 4e-4
    )


def test_permuting_the_nodes_permutes_what_the_graph_policy_gives() -> None:
    order = (2, 0, 3, 1)
    states, given = {}, {}
    for name, problem in (("as drawn", Amplifier()), ("permuted", Amplifier(order))):
        graph, scales = DesignGraph(problem.space), Scales()
        memory = Memory(graph, ("error",), scales)
        drawn = np.random.default_rng(1).random((6, 4))
        columns = list(order) if name == "permuted" else [0, 1, 2, 3]
        memory.add(told(problem, drawn[:, columns].tolist()))
        memory.settle()
        actor, _ = policy_of("gcn", graph, memory, scales)
        states[name], given[name] = memory.states([0, 1, 4, -1], [problem.specs]), actor
    given["permuted"].load_state_dict(_by_name(given["as drawn"], given["permuted"]))
    with torch.no_grad():
        plain, permuted = given["as drawn"](states["as drawn"]), given["permuted"](states["permuted"])
    assert torch.allclose(plain[:, list(order)], permuted, atol=1e-5)


def _by_name(source: torch.nn.Module, target: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights of one policy under the row order of another."""
    load_named(target, *saved_tensors(source))
    return target.state_dict()


@pytest.mark.parametrize("kind", POLICIES)
def test_masks_hold_for_random_prefixes(kind: str) -> None:
    problem = Allocation()
    graph, scales = DesignGraph(problem.space), Scales()
    memory = Memory(graph, ("value", "cost"), scales)
    actor, _ = policy_of(kind, graph, memory, scales, sorted(problem.allowed([{}])[0].features))
    state = memory.states([-1] * 50, [problem.specs])
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        designs = actor(state, ask=problem.allowed, deviation=0.5, generator=draw).double().numpy()
    points = [problem.space.decode(Relaxation(problem.space).collapse(row)) for row in designs]
    assert all(problem.repair(point) == point for point in points), "what a policy decides needs no repair"
    assert len({tuple(point.items()) for point in points}) > 25, "exploration reaches different designs"


@pytest.mark.parametrize("kind", POLICIES)
def test_choices_are_weights_that_add_up_to_one(kind: str) -> None:
    problem = Kinds()
    graph, scales = DesignGraph(problem.space), Scales()
    memory = Memory(graph, ("value",), scales)
    actor, _ = policy_of(kind, graph, memory, scales)
    state = memory.states([-1, -1], [problem.specs])
    plain = actor(state)
    assert plain.shape == (2, 4 + 2 + 1 + 1)
    assert torch.allclose(plain[:, :4].sum(1), torch.ones(2)) and torch.allclose(plain[:, 4:6].sum(1), torch.ones(2))
    drawn = actor(state, deviation=0.5, generator=torch.Generator().manual_seed(0))
    assert set(drawn[:, :6].flatten().tolist()) == {0.0, 1.0}, "exploration settles on one alternative"
