"""`stallwatch demo --engine temporal`."""


def run_temporal_demo(*args: object) -> bool:
    return False
