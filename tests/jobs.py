"""Jobs for the tests of the worker processes: they sleep, lie, crash and fill the memory."""
