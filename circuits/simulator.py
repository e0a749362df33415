"""The handle to a simulator child: start, evaluate, time out, kill, start again."""

from __future__ import annotations

from circuits.bench import Analysis, Bench, Measure, Reading

__all__ = ["Analysis", "Bench", "Measure", "Reading"]
