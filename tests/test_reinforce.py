"""REINFORCE: the paper's update to the last digit, resumed bit for bit, and learning."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from nasgym import Evaluation, NASVectorEnv
from nasgym.agents.controller.controller import Controller
from nasgym.agents.reinforce.presets import PAPER_FROM, preset_for
from nasgym.agents.reinforce.reinforce import PRESETS, Reinforce, gains
from nasgym.agents.torch_state import unpacked
from nasgym.archive import Trial
from nasgym.spaces import ConvSpace
from nasgym.spaces.base import SearchSpace, Tokens
from tests.plain_controller import reference, spell
from tests.spaces import Numbers, Stack

SPACE = ConvSpace(layers=3, max_layers=3, strides=(1, 2))


class Firsts:
    """Rewards the share of filter sizes that are the first option."""

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        return [Evaluation(accuracy=self.share(one)) for one in architectures]

    @staticmethod
    def share(architecture: Any) -> float:
        layers = architecture.layers
        chosen = [(layer.filter_height == 1, layer.filter_width == 1) for layer in layers]
        return float(np.mean(chosen))


def search(agent: Reinforce, space: SearchSpace, budget: int) -> list[Tokens]:
    envs = NASVectorEnv(space, Numbers(), num_envs=8)
    agent.search(envs, budget)
    return [trial.tokens for trial in envs.archive]


def trial(tokens: Tokens, reward: float, number: int = 0) -> Trial:
    return Trial(number, tokens, None, reward, reward, {}, "ok", "", 0.0, False)


def controller_of(agent: Reinforce, space: SearchSpace) -> Controller:
    agent.propose(space, 1)
    assert agent._learner is not None
    return agent._learner[0].double()


@pytest.mark.parametrize("space", [SPACE, Stack(3)], ids=["skips", "branches"])
@pytest.mark.parametrize(
    "options", [{}, {"entropy": 0.1, "lr": 0.01, "decay": 0.8}], ids=["paper", "entropy"]
)
def test_updates_equal_plain_autograd(space: SearchSpace, options: dict[str, Any]) -> None:
    """Three batches, by the formulas: the gradient, the baseline before the batch, and Adam."""
    agent = Reinforce(seed=3, preset="paper", batch=4, **options)
    controller = controller_of(agent, space)
    plain = Controller(space, seed=3).double()
    adam = torch.optim.Adam(plain.parameters(), options.get("lr", 0.0006))
    decay, weight = options.get("decay", 0.95), options.get("entropy", 0.0)
    rng = np.random.default_rng(0)
    earlier: list[float] = []
    for _ in range(3):
        strings, rewards = agent.propose(space, 4), rng.random(4)
        agent.learn([trial(*pair) for pair in zip(strings, rewards.tolist(), strict=True)])

        ages = np.arange(len(earlier))[::-1]
        baseline = np.average(earlier, weights=decay**ages) if earlier else rewards.mean()
        loss = torch.zeros((), dtype=torch.float64)
        for tokens, reward in zip(strings, rewards, strict=True):
            _, log_prob, entropy = reference(plain, space, spell(tokens))
            loss = loss - log_prob * (reward - baseline) / 4 - weight * entropy / len(tokens) / 4
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        earlier += rewards.tolist()
        for one, other in zip(controller.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_one_clipped_pass_is_reinforce() -> None:
    """Where the ratio is 1 both objectives have the same gradient."""
    weights = []
    for clip in (0.0, 0.2):
        agent = Reinforce(seed=3, preset="paper", batch=4, clip=clip, lr=0.01, entropy=0.1)
        controller = controller_of(agent, SPACE)
        rng = np.random.default_rng(0)
        for _ in range(3):
            strings = agent.propose(SPACE, 4)
            agent.learn([trial(tokens, rng.random()) for tokens in strings])
        weights.append(torch.cat([p.detach().flatten() for p in controller.parameters()]))
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-12, atol=1e-12)


def test_the_clip_stops_the_ratio() -> None:
    """Schulman et al. 2017, figure 1: flat above 1 + c for a gain, below 1 - c for a loss."""
    ratios = torch.tensor([0.5, 1.0, 1.5, 0.5, 1.0, 1.5])
    advantages = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    log_prob = ratios.log().requires_grad_()
    gain = gains(log_prob, torch.zeros(6), advantages, 0.2)
    torch.testing.assert_close(gain, torch.tensor([0.5, 1.0, 1.2, -0.8, -1.0, -1.5]))
    gain.sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(log_prob.grad, torch.tensor([0.5, 1.0, 0.0, 0.0, -1.0, -1.5]))


def test_many_passes_go_no_further_than_the_clip_lets_them() -> None:
    """Past the bound no gradient is left, only what Adam's momentum carries on."""
    ratios = []
    for clip in (0.2, 1000.0):
        agent = Reinforce(0, preset="paper", batch=2, clip=clip, passes=50, lr=0.003)
        controller = controller_of(agent, SPACE)
        strings = agent.propose(SPACE, 2)
        before = controller.log_prob(strings).detach()
        agent.learn([trial(strings[0], 0.9), trial(strings[1], 0.1)])
        ratios.append((controller.log_prob(strings) - before).exp()[0].item())
    assert 1.2 < ratios[0] < 4
    assert ratios[1] > 10


@pytest.mark.parametrize("parallel", [1, 4, 16])
def test_ten_children_make_one_update(parallel: int) -> None:
    """Acceptance check 11 (section 4.2): however many are trained at a time."""
    agent = Reinforce(seed=0, batch=10)
    controller = controller_of(agent, SPACE)
    envs = NASVectorEnv(SPACE, Numbers(), num_envs=parallel)
    weights = []
    for children in (10, 20, 30):
        agent.search(envs, children)
        weights.append(controller.head_weight.detach().clone())
    assert [children for children, _ in agent.entropy()] == [10, 20, 30]
    assert agent._learner is not None
    assert agent._learner[1].state[controller.head_weight]["step"] == 3
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])


def test_standardised_advantages_do_not_depend_on_the_scale_of_rewards() -> None:
    weights = []
    for scale in (1.0, 1e-4):
        agent = Reinforce(seed=0, preset="short")
        controller = controller_of(agent, SPACE)
        for rewards in ([0.1, 0.5, 0.7, 0.2], [0.3, 0.9, 0.4, 0.8]):
            strings = agent.propose(SPACE, 4)
            agent.learn([trial(t, scale * r) for t, r in zip(strings, rewards, strict=True)])
        weights.append(torch.cat([p.detach().flatten() for p in controller.parameters()]))
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-6, atol=1e-9)


def test_equal_rewards_teach_nothing() -> None:
    agent = Reinforce(seed=0, preset="short", entropy=0.0)
    controller = controller_of(agent, SPACE)
    before = [p.detach().clone() for p in controller.parameters()]
    for _ in range(2):
        agent.learn([trial(tokens, 0.5) for tokens in agent.propose(SPACE, 4)])
    for one, other in zip(before, controller.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("preset", ["paper", "short", "clipped"])
@pytest.mark.parametrize("space", [SPACE, Stack(3)], ids=["skips", "branches"])
def test_a_restored_agent_goes_on_bit_for_bit(space: SearchSpace, preset: str) -> None:
    undisturbed = Reinforce(seed=4, preset=preset)
    envs = NASVectorEnv(space, Numbers(), num_envs=8)
    undisturbed.search(envs, 40)
    state = undisturbed.state()
    assert state is not None
    undisturbed.search(envs, 90)

    resumed = Reinforce(seed=99, preset=preset)
    resumed.restore(state)
    assert resumed.state() == state  # also before the first proposal
    assert resumed.entropy() == undisturbed.entropy()[:5]
    again = NASVectorEnv(space, Numbers(), num_envs=8)
    again.study.play([one.tokens for one in envs.archive][:40])
    resumed.search(again, 90)
    assert [t.tokens for t in again.archive] == [t.tokens for t in envs.archive]
    assert resumed.state() == undisturbed.state()


def test_the_seed_decides_the_run() -> None:
    once, again, other = (search(Reinforce(seed=seed), SPACE, 50) for seed in (1, 1, 2))
    assert once == again
    assert once != other
    assert len(once) == 50


def test_it_follows_a_growing_ceiling() -> None:
    space = ConvSpace(layers=1, max_layers=3)
    envs = NASVectorEnv(space, Numbers(), num_envs=8, grow_by=1, grow_every=16)
    agent = Reinforce(seed=0)
    agent.search(envs, 48)
    lengths = [len(trial.tokens) for trial in envs.archive]
    assert lengths == [3] * 16 + [7] * 16 + [12] * 16


@pytest.mark.parametrize(("preset", "budget"), [("short", 300), ("clipped", 300), ("paper", 4000)])
def test_it_learns(preset: str, budget: int) -> None:
    """Acceptance check 10: the mean reward of the last tenth is twice that of random strings."""
    space = ConvSpace(layers=3, max_layers=3)
    envs = NASVectorEnv(space, Firsts(), num_envs=8)
    Reinforce(seed=0, preset=preset).search(envs, budget)
    rewards = np.array([trial.reward for trial in envs.archive])
    assert rewards[:16].mean() == pytest.approx(0.25, abs=0.1)
    assert rewards[-budget // 10 :].mean() > 0.5


def test_the_entropy_is_recorded_and_falls() -> None:
    space = ConvSpace(layers=3, max_layers=3, skip_connections=False)
    envs = NASVectorEnv(space, Firsts(), num_envs=8)
    agent = Reinforce(seed=0, preset="short")
    agent.search(envs, 204)
    children, nats = zip(*agent.entropy(), strict=True)
    assert children == (*range(8, 204, 8), 204)
    assert nats[0] == pytest.approx(np.log(4), abs=0.01)
    assert nats[-1] < 0.9 * nats[0]


def test_a_reward_that_is_no_number_is_refused() -> None:
    agent = Reinforce()
    strings = agent.propose(SPACE, 2)
    with pytest.raises(ValueError, match="reward of child 7 is nan"):
        agent.learn([trial(strings[0], 0.5, 6), trial(strings[1], float("nan"), 7)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "long"}, "preset 'long' is none of auto, paper, short, clipped"),
        ({"lr": "fast"}, "lr must be a number, not 'fast'"),
        ({"standardise": "no"}, "standardise must be true or false, not 'no'"),
        ({"batch": 0}, "batch"),
        ({"decay": 1.0}, "decay"),
        ({"lr": 0.0}, "lr"),
        ({"clip": -0.1}, "clip"),
        ({"passes": 4}, "more than one pass needs a clip"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Reinforce(**options)


def test_there_is_no_state_before_the_first_proposal() -> None:
    assert Reinforce().state() is None


# The preset "auto" ----------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [1, PAPER_FROM - 1, PAPER_FROM])
def test_auto_is_the_preset_for_the_first_budget(budget: int) -> None:
    name = preset_for(budget)
    assert Reinforce.resolve_options({"lr": 0.1}, budget) == {"lr": 0.1, "preset": name}
    assert Reinforce.resolve_options({"preset": "clipped"}, budget) == {"preset": "clipped"}
    agent = Reinforce(batch=5)
    agent._choose_preset(budget)
    agent._choose_preset(10 * PAPER_FROM)
    assert agent.settings == Reinforce(preset=name, batch=5).settings and agent.batch == 5


def test_auto_searches_like_the_preset_it_chose() -> None:
    agent, explicit = Reinforce(seed=1), Reinforce(seed=1, preset="short")
    assert search(agent, SPACE, 40) == search(explicit, SPACE, 40)
    mine, theirs = agent.state(), explicit.state()
    assert mine is not None and theirs is not None
    assert unpacked(mine).pop("preset") == "short" and "preset" not in unpacked(theirs)


def test_auto_without_a_budget_is_short_and_stays_so() -> None:
    agent = Reinforce()
    agent.propose(SPACE, 1)
    agent._choose_preset(PAPER_FROM)
    assert agent.settings == PRESETS["short"]


@pytest.mark.parametrize(("made", "restored"), [("auto", "short"), ("paper", "paper")])
def test_a_restored_auto_agent_has_the_preset_of_its_state(made: str, restored: str) -> None:
    """A state without the preset's name is an older version's, whose default was "paper"."""
    before = Reinforce(seed=1, preset=made)
    search(before, SPACE, 16)
    state = before.state()
    assert state is not None
    agent = Reinforce(seed=1)
    agent.restore(state)
    agent._choose_preset(PAPER_FROM if restored == "short" else 1)
    assert agent.settings == PRESETS[restored]
    assert agent.state() == state
