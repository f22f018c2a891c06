"""The fault suite: every test injects one kind of fault and counts what was lost."""
