"""What reading and replacing attention columns costs."""
