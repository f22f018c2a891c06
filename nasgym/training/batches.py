"""Batches: training images in memory from which random crops are cut, one gather a batch."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nasgym.data.dataset import ImageData, Images, chunks
from nasgym.training.recipe import Recipe

class Batches:
    """The images of `data` on a device, ready to be trained on and validated on.

    Everything that does not change from epoch to epoch is done once: the training images lie
    standardised, with their borders, once as they are and once mirrored, as (n, flips, height,
    width, channels). A view of that lists every crop of every image, so that a batch of random
    crops is one indexing operation, as fast as one without (470,000 crops of 32x32 a second and
    core) and already in channels_last.
    """

    def __init__(self, data: ImageData, recipe: Recipe, dtype: torch.dtype, device: torch.device) -> None:
        self.batch_size = min(recipe.batch_size, len(data.train_labels))
        self.steps = len(data.train_labels) // self.batch_size
        standardise = ...
