"""Agents: whatever searches an environment of this project, found by name."""

if __name__ == "agents":
    raise ImportError("import this folder as nasgym.agents; `agents` is another package's name")
