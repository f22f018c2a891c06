"""The README's programs run as they stand, but for smaller budgets."""

import re
from pathlib import Path
from typing import Any

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SMALLER = {"budget=200": "budget=8", "budget=400": "budget=40", "64 * steps": "8 * steps"}


def test_the_programs_run(capsys: Any) -> None:
    names: dict[str, Any] = {}
    for block in BLOCKS:
        for usual, small in SMALLER.items():
            block = block.replace(usual, small)
        exec(compile(block, "README.md", "exec"), names)
    assert "layers" in capsys.readouterr().out
    assert len(names["envs"].archive) == 40
    for name in ("env", "envs"):
        names[name].close()


def test_a_space_of_your_own_takes_at_most_30_lines() -> None:
    (block,) = [block for block in BLOCKS if "(SearchSpace)" in block]
    (space,) = [part for part in block.split("\n\n\n") if "(SearchSpace)" in part]
    assert len(space.splitlines()) <= 30
