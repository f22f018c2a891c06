"""Naive implementations: straightforward versions of nasgym's hot paths, as baselines.

They are fair: correct, and vectorised as far as PyTorch and Gymnasium vectorise, with all default
settings.
"""

import random
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.utils.data import DataLoader, Dataset, TensorDataset

from nasgym.data import ImageData
from nasgym.data.dataset import Images, Labels
from nasgym.spaces.base import Decision

Loader = DataLoader[tuple[Tensor, ...]]


class Augmented(Dataset[tuple[Tensor, int]]):
    """Training images, each transformed with PIL, like torchvision's transforms.

    Resize to 5/4, RandomCrop, RandomHorizontalFlip, ToTensor, Normalize.
    """

    def __init__(self, data: ImageData, seed: int = 0) -> None:
        """Use the training images of `data`."""
        self.images, self.labels = data.train_images, data.train_labels
        self.mean, self.deviation = _moments(data)
        self.random = random.Random(seed)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        height, width = self.images.shape[1:3]
        rows, columns = 5 * height // 4, 5 * width // 4
        image = Image.fromarray(self.images[index])
        image = image.resize((columns, rows), Image.Resampling.BILINEAR)
        top, left = self.random.randint(0, rows - height), self.random.randint(0, columns - width)
        image = image.crop((left, top, left + width, top + height))
        if self.random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        normalised = pixels.float().div(255).sub_(self.mean).div_(self.deviation)
        return normalised, int(self.labels[index])


def augmented(data: ImageData, batch_size: int) -> "DataLoader[tuple[Tensor, int]]":
    """Return a loader of training images, each cropped and mirrored at random."""
    return DataLoader(Augmented(data), batch_size, shuffle=True, drop_last=True)


def plain(data: ImageData, batch_size: int) -> tuple[Loader, Loader]:
    """Return loaders of the training and validation images, normalised in advance."""
    mean, deviation = _moments(data)

    def images_of(images: Images, labels: Labels) -> TensorDataset:
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float().div(255)
        return TensorDataset(pixels.sub_(mean).div_(deviation), torch.from_numpy(labels))

    train = images_of(data.train_images, data.train_labels)
    valid = images_of(data.valid_images, data.valid_labels)
    return DataLoader(train, batch_size, shuffle=True, drop_last=True), DataLoader(valid, 128)


def _moments(data: ImageData) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the channels of the training images, (c, 1, 1)."""
    pixels = torch.from_numpy(data.train_images).float().div(255)
    deviation, mean = torch.std_mean(pixels, dim=(0, 1, 2))
    return mean[:, None, None], deviation[:, None, None]


def train(
    network: nn.Module,
    loader: "DataLoader[Any]",
    epochs: int,
    valid: Loader | None = None,
) -> float:
    """Train `network` and return its accuracy on `valid`, measured after every epoch."""
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True
    )
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    criterion = nn.CrossEntropyLoss()
    accuracy = 0.0
    for _ in range(epochs):
        network.train()
        running = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(network(images), labels)
            loss.backward()
            optimizer.step()
            running += loss.item()
        scheduler.step()
        if valid is not None:
            accuracy, _ = validate(network, valid)
    return accuracy


@torch.no_grad()
def validate(network: nn.Module, loader: Loader) -> tuple[float, float]:
    """Return the accuracy and the mean negative log likelihood of `network` on `loader`."""
    network.eval()
    criterion = nn.CrossEntropyLoss(reduction="sum")
    hits, total, count = 0, 0.0, 0
    for images, labels in loader:
        logits = network(images)
        hits += int((logits.argmax(1) == labels).sum().item())
        total += criterion(logits, labels).item()
        count += len(labels)
    return hits / count, total / count


class Controller(nn.Module):
    """The controller of Zoph & Le 2017, without connections: samples one token at a time."""

    def __init__(self, decisions: Sequence[Decision], hidden: int = 35) -> None:
        """Build it for strings with these decisions."""
        super().__init__()
        self.decisions = decisions
        options = {decision.name: len(decision.options) for decision in decisions}
        self.start = nn.Parameter(torch.empty(hidden))
        self.cells = nn.ModuleList(nn.LSTMCell(hidden, hidden) for _ in range(2))
        self.heads = nn.ModuleDict({name: nn.Linear(hidden, n) for name, n in options.items()})
        self.embeddings = nn.ModuleDict(
            {name: nn.Embedding(n, hidden) for name, n in options.items()}
        )
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.08, 0.08)

    def forward(self, count: int) -> tuple[Tensor, list[Categorical]]:
        """Sample `count` strings: tokens, (count, length), and a distribution per position."""
        inputs = self.start.expand(count, -1)
        zeros = torch.zeros_like(inputs)
        states = [(zeros, zeros) for _ in self.cells]
        tokens, distributions = [], []
        for decision in self.decisions:
            for number, cell in enumerate(self.cells):
                states[number] = cell(inputs, states[number])
                inputs = states[number][0]
            distribution = Categorical(logits=self.heads[decision.name](inputs))
            token = distribution.sample()  # type: ignore[no-untyped-call]
            inputs = self.embeddings[decision.name](token)
            tokens.append(token)
            distributions.append(distribution)
        return torch.stack(tokens, 1), distributions


class Reinforce:
    """REINFORCE on `Controller`, with a moving-average baseline and Adam."""

    def __init__(self, controller: Controller, learning_rate: float = 6e-4) -> None:
        """Train `controller`."""
        self.controller = controller
        self.optimizer = torch.optim.Adam(controller.parameters(), learning_rate)
        self.baseline: float | None = None

    def propose(self, count: int) -> NDArray[np.int64]:
        """Sample `count` strings, (count, length), and keep their log-probabilities."""
        tokens, distributions = self.controller(count)
        log_probs = [
            distribution.log_prob(column)
            for distribution, column in zip(distributions, tokens.unbind(1), strict=True)
        ]
        self.log_probs = torch.stack(log_probs).sum(0)
        proposed: NDArray[np.int64] = tokens.numpy()
        return proposed

    def learn(self, rewards: Sequence[float]) -> None:
        """Take one step on the rewards of the strings proposed last."""
        mean = sum(rewards) / len(rewards)
        before = mean if self.baseline is None else self.baseline
        loss = -((torch.tensor(rewards) - before) * self.log_probs).mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.baseline = 0.95 * before + 0.05 * mean


class PlainEnv(gym.Env[NDArray[np.int64], np.int64]):
    """A minimal environment that builds a string of tokens: the reward is 1, nothing is stored."""

    def __init__(self, options: Sequence[int]) -> None:
        """Build it for strings with `options[i]` options at position i."""
        self.options = options
        self.action_space: Any = spaces.Discrete(max(options))
        self.observation_space = spaces.MultiDiscrete([max(options) + 1] * len(options))
        self.masks = (np.arange(max(options)) < np.array([*options, 1])[:, None]).astype(np.int8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.int64], dict[str, Any]]:
        """Start with an empty string."""
        super().reset(seed=seed)
        self.string, self.position = np.zeros(len(self.options), np.int64), 0
        return self.string.copy(), {"action_mask": self.masks[0].copy()}

    def step(self, action: np.int64) -> tuple[NDArray[np.int64], float, bool, bool, dict[str, Any]]:
        """Append a token."""
        self.string[self.position] = action % self.options[self.position] + 1
        self.position += 1
        done = self.position == len(self.options)
        info = {"action_mask": self.masks[self.position].copy()}
        return self.string.copy(), float(done), done, False, info
