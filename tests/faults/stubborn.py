"""A search that does not end when it is asked to, for a test that asks twice."""

import time

from nasgym.search.signals import Interrupted, signals_raise

if __name__ == "__main__":
    with signals_raise():
        try:
            print("START", flush=True)
            time.sleep(60)
        except Interrupted:
            print("INTERRUPTED", flush=True)
            time.sleep(60)
