"""What the processes of a worker share: the board, the lifeline, the options."""
