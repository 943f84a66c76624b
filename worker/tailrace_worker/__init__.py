"""What runs beside the providers: the worker, its adapters, and the simulator."""
