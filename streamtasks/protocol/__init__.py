"""Bytes and names: messages, their encodings, keys and states. No I/O."""
