"""Trimtab's side of the benchmarks; it is imported before PyTorch, as by the program, so that threads wait as there."""

import trimtab as trimtab
