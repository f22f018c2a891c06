"""The unrolling of a recurrent cell over a sequence, with its own backward pass through time.

A TreeCell in a loop does the same, and the tests compare with it. Here the products with the inputs
are one for all steps, those with h one a step, and the gradients of the weights one each at the
end; additions in the leaves are part of the products; and autograd notes one function a layer.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nasgym.spaces.recurrent import Node, RecurrentArchitecture

aten = torch.ops.aten


class Activation(NamedTuple):
    """An activation and its derivative."""

    forward: Callable[[Tensor], Tensor]
    """Return what comes after it."""
    backward: Callable[[Tensor, Tensor], Tensor]
    """Return the gradient before it, given that after it and what was kept."""
    keeps_output: bool = True
    """Whether what comes after it is kept for the derivative, or what came before."""


class Combination(NamedTuple):
    """A combination and its derivatives."""

    forward: Callable[[Tensor, Tensor], Tensor]
    """Return both combined."""
    backward: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    """Return the gradients of both, given that of the combination, and both."""


def _maximum_backward(gradient: Tensor, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Give the gradient to the larger one; equal ones share it, as autograd has it."""
    share = torch.sign(one - other).add_(1).mul_(gradient).mul_(0.5)
    return share, gradient - share


ACTIVATIONS = {
    "identity": Activation(lambda x: x, lambda gradient, _: gradient),
    "tanh": Activation(torch.tanh, aten.tanh_backward.default),
    "sigmoid": Activation(torch.sigmoid, aten.sigmoid_backward.default),
    "relu": Activation(torch.relu, lambda g, y: aten.threshold_backward.default(g, y, 0)),
    "sin": Activation(torch.sin, lambda gradient, x: gradient * torch.cos(x), keeps_output=False),
}

IN_PLACE = {"tanh": torch.tanh_, "sigmoid": torch.sigmoid_, "relu": torch.relu_}
"""Activations that may be done in place: their derivative needs nothing else."""

COMBINATIONS = {
    "add": Combination(torch.add, lambda gradient, _, __: (gradient, gradient)),
    "elem_mult": Combination(torch.mul, lambda g, one, other: (g * other, g * one)),
    "max": Combination(torch.maximum, _maximum_backward),
}


class Instruction(NamedTuple):
    """A node, or the injection of the memory: reads two registers and writes the next new one."""

    combination: Combination
    activation: Activation
    one: int
    other: int
    remembers: bool = False
    """Whether what is combined becomes the memory."""


class Program:
    """A cell as instructions on registers, which are tensors (n, hidden).

    Leaves that add and whose sum nobody keeps are all part of two large matrix products: they come
    first, those of equal activation side by side, and need no instruction. Registers: for every
    leaf, in this order, the sum or else the product with h; for the leaves that are no such sums
    the product with the input; the memory; then what each instruction writes.
    """

    def __init__(self, cell: RecurrentArchitecture) -> None:
        """Translate `cell`."""

        def is_sum(leaf: int) -> bool:
            node = cell.nodes[leaf]
            plain = node.combination == "add" and node.activation != "sin"
            return plain and leaf != cell.cell_out

        def rank(leaf: int) -> tuple[bool, str]:
            return not is_sum(leaf), cell.nodes[leaf].activation

        self.cell = cell
        self.leaves = sorted(range(cell.base), key=rank)
        self.sums = [cell.nodes[leaf].activation for leaf in self.leaves if is_sum(leaf)]
        self.memory = 2 * cell.base - len(self.sums)
        self.instructions = self._translate()

    def _translate(self) -> list[Instruction]:
        cell, sums, written = self.cell, len(self.sums), []
        where = {leaf: register for register, leaf in enumerate(self.leaves)}

        def write(node: Node, one: int, other: int, remembers: bool = False) -> int:
            functions = COMBINATIONS[node.combination], ACTIVATIONS[node.activation]
            written.append(Instruction(*functions, one, other, remembers))
            return self.memory + len(written)

        for number, node in enumerate(cell.nodes):
            remembers, children = number == cell.cell_out, cell.children(number)
            if children is not None:
                one, other = children
                where[number] = write(node, where[one], where[other], remembers)
            elif where[number] >= sums:
                factor = cell.base + where[number] - sums
                where[number] = write(node, factor, where[number], remembers)
            if number == cell.cell_in:
                where[number] = write(cell.inject, where[number], self.memory)
        self.output = where[len(cell.nodes) - 1]
        return written

    def ordered(self, weight: Tensor) -> Tensor:
        """Return the rows of a weight of a TreeCell in the order of the leaves here."""
        blocks = weight.chunk(len(self.leaves))
        return torch.cat([blocks[leaf] for leaf in self.leaves])

    def runs(self) -> list[tuple[Callable[[Tensor], Tensor], int, int]]:
        """Return the in-place activations of the sums: which, from which one, up to which one."""
        found: list[tuple[Callable[[Tensor], Tensor], int, int]] = []
        start = 0
        for name, run in groupby(self.sums):
            end = start + len(list(run))
            if name in IN_PLACE:
                found.append((IN_PLACE[name], start, end))
            start = end
        return found

    def forward(self, registers: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Append to `registers` what all instructions write; return the memory and what is kept."""
        kept = []
        memory = registers[self.memory]
        for combination, activation, one, other, remembers in self.instructions:
            combined = combination.forward(registers[one], registers[other])
            output = activation.forward(combined)
            registers.append(output)
            kept.append(output if activation.keeps_output else combined)
            if remembers:
                memory = combined
        return memory, kept

    def backward(
        self, registers: list[Tensor], kept: list[Tensor], output: Tensor, memory: Tensor
    ) -> list[Any]:
        """Return the gradients of all registers from those of the output and of the new memory."""
        gradients: list[Any] = [None] * len(registers)
        gradients[self.output] = output
        register = len(registers)
        for combination, activation, one, other, remembers in reversed(self.instructions):
            register -= 1
            gradient = activation.backward(gradients[register], kept.pop())
            if remembers:
                gradient = gradient + memory
            pair = combination.backward(gradient, registers[one], registers[other])
            gradients[one], gradients[other] = pair
        for register, name in enumerate(self.sums):
            sums = gradients[register], registers[register]
            gradients[register] = ACTIVATIONS[name].backward(*sums)
        return gradients


def unroll(
    cell: RecurrentArchitecture,
    input: Tensor,
    h: Tensor,
    c: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return h after every step of `input`, (time, n, hidden), and c after the last.

    `input` is (time, n, input size), `h` and `c` (n, hidden); the weights are those of a TreeCell,
    and h is multiplied with `mask`, (n, hidden), wherever a step reads it. Under autocast all is
    computed in its precision.
    """
    kind = input.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        input, h, c, weight_ih, weight_hh = (
            tensor.to(dtype) for tensor in (input, h, c, weight_ih, weight_hh)
        )
        mask = None if mask is None else mask.to(dtype)
    program = _program(cell)
    weights = program.ordered(weight_ih), program.ordered(weight_hh)
    with torch.autocast(kind, enabled=False):
        if torch.is_grad_enabled():
            outputs: tuple[Tensor, Tensor] = _Unrolling.apply(program, input, h, c, *weights, mask)  # type: ignore[no-untyped-call]
            return outputs
        return _run(program, None, input, h, c, *weights, mask)


Tape = list[tuple[list[Tensor], list[Tensor]]]
"""For each step the registers and what the instructions kept."""


def _run(
    program: Program,
    tape: Tape | None,
    input: Tensor,
    h: Tensor,
    c: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Run forwards, with the leaves in the order of the program, and note every step on `tape`."""
    hidden = h.shape[1]
    sums = len(program.sums) * hidden
    products = F.linear(input, weight_ih)
    factors = products[..., sums:].clone()
    products[..., sums:] = 0  # there only what h brings is wanted
    blocks = _blocks(products, hidden) + _blocks(factors, hidden)
    runs = [
        (activate, products[..., start * hidden : end * hidden].unbind(0))
        for activate, start, end in program.runs()
    ]
    weight, outputs = weight_hh.t(), []
    for step, total in enumerate(products.unbind(0)):
        total.addmm_(h if mask is None else h * mask, weight)
        for activate, run in runs:
            activate(run[step])
        registers = [block[step] for block in blocks] + [c]
        c, kept = program.forward(registers)
        h = registers[program.output]
        outputs.append(h)
        if tape is not None:
            tape.append((registers, kept))
    return torch.stack(outputs), c.clone()


class _Unrolling(torch.autograd.Function):
    """`_run` with its derivative."""

    @staticmethod
    def forward(
        ctx: Any, program: Program, input: Tensor, h: Tensor, c: Tensor, *weights: Any
    ) -> tuple[Tensor, Tensor]:
        """Run forwards."""
        tape: Tape = []
        outputs, memory = _run(program, tape, input, h, c, *weights)
        ctx.program, ctx.tape = program, tape
        ctx.save_for_backward(input, h, outputs, *weights)
        return outputs, memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_outputs: Tensor, of_c: Tensor) -> tuple[Any, ...]:
        """Run backwards; the gradients of the weights are one product each for all steps."""
        input, first, outputs, weight_ih, weight_hh, mask = ctx.saved_tensors
        program, of_h = ctx.program, torch.zeros_like(first)
        from_h = input.new_empty(*outputs.shape[:2], len(weight_hh))
        of_factors: list[Tensor] = []
        steps = list(zip(ctx.tape, of_outputs.unbind(0), from_h.unbind(0), strict=True))
        for (registers, kept), of_output, of_products in reversed(steps):
            gradients = program.backward(registers, list(kept), of_h + of_output, of_c)
            torch.cat(gradients[: program.cell.base], 1, out=of_products)
            of_factors += gradients[program.cell.base : program.memory][::-1]
            of_h = of_products @ weight_hh
            of_h = of_h if mask is None else of_h * mask
            of_c = gradients[program.memory]
        from_input = _of_inputs(from_h, of_factors[::-1], len(program.sums))
        before = torch.cat([first[None], outputs[:-1]])
        before = before if mask is None else before * mask
        return (
            None,
            (from_input @ weight_ih).view(input.shape),
            of_h,
            of_c,
            from_input.t() @ input.flatten(0, 1),
            from_h.flatten(0, 1).t() @ before.flatten(0, 1),
            None,
        )


def _of_inputs(from_h: Tensor, of_factors: list[Tensor], sums: int) -> Tensor:
    """Return the gradients of the products with the inputs, (time x n, leaves x hidden).

    Where both products are summed they are those of the products with h.
    """
    if not of_factors:
        return from_h.flatten(0, 1)
    hidden = of_factors[0].shape[1]
    width = from_h.shape[2] - sums * hidden
    factors = torch.stack(of_factors).view(len(from_h), -1, *of_factors[0].shape)
    factors = factors.transpose(1, 2).reshape(*from_h.shape[:2], width)
    return torch.cat([from_h[..., : sums * hidden], factors], 2).flatten(0, 1)


@lru_cache(maxsize=64)
def _program(cell: RecurrentArchitecture) -> Program:
    return Program(cell)


def _blocks(products: Tensor, hidden: int) -> list[tuple[Tensor, ...]]:
    """Return the blocks of `hidden` columns, if there are any, step by step."""
    blocks = products.split(hidden, 2) if products.shape[2] else ()  # type: ignore[no-untyped-call]
    return [block.unbind(0) for block in blocks]
