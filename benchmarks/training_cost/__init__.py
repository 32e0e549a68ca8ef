"""What training costs, in time and memory."""
