"""What the Python conversations share: telling each step as a line of JSON, and who was not served."""
import json
import uuid
from contextlib import asynccontextmanager


def tell(step, result="ok"):
    print(json.dumps({"step": step, "result": result}), flush=True)


@asynccontextmanager
async def step(name):
    """Told when it has passed. What it raises ends the conversation, and is told too."""
    try:
        yield
    except BaseException as error:
        tell(name, f"{type(error).__name__}: {error}"[:500])
        raise
    tell(name)


def new_id():
    return uuid.uuid4().hex
