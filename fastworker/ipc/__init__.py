"""What the processes share: the board, connections, control messages, and the system calls for these."""
