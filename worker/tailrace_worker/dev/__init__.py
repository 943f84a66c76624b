"""`tailrace dev`: all parts of a deployment on this machine, for developing with them."""
