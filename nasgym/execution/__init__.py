"""Execution of children: scheduling, worker processes, Ray."""
