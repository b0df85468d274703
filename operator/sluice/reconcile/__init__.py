"""Observe, plan, act: the engine that carries out what planning decides."""
