"""`PutBack`: a job has to be run again later."""


class PutBack(Exception):
    """The attempt ends without an ending, and the job is due again after a delay."""

    def __init__(self, seconds: float) -> None:
        """Set the delay.

        Args:
            seconds: The delay; with 0 the job is due at once.
        """
        super().__init__(f"due again in {seconds:g} s")
        self.seconds = seconds
