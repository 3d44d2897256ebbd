"""Decisions that every store takes alike, as pure functions: no storage, no clock, no input or output.

The scripts of the store on Redis take the same decisions in Lua; the tests compare both.
"""
