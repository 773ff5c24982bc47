"""Instances: the ids of orchestrations, of their generations, and of entities."""


def fragment_key(instance: str, generation: str) -> str:
    """What the facts of one generation of an instance are kept under; an eternal orchestration has no end of them.

    Without a generation: what a status alone says, which does not name one.
    """
    return f"{instance}|{generation}"


def instance_of_key(key: str) -> str:
    return key.rpartition("|")[0]


def is_entity(instance: str) -> bool:
    """Whether an instance is an entity (`@name@key`). Entities never end, so they are no executions."""
    return instance.startswith("@") and "@" in instance[1:]


def entity_step(instance: str, operation: str) -> str:
    """`counter.add`: the entity's name without its key, of which there may be many."""
    name = instance[1:].partition("@")[0] if is_entity(instance) else "entity"
    return f"{name}.{operation}" if operation else name
