"""The sockets: one file a stage, each ending with its list of nodes."""
