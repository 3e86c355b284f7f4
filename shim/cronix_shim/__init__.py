"""The signer: one job, one signed request with retries, one outcome; standard library and cronix_protocol only."""

__version__ = "0.1.0"
