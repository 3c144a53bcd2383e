"""What `make bench` measures: the budgets of the design, through the public HTTPS port."""
