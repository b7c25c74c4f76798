"""A chain of ten steps that do nothing, on LangGraph with its SQLite checkpointer: python chain.py FILE SECONDS THREADS

Prints one line of JSON: chains, seconds, processor seconds, and the time of each chain.
"""
import json
import sqlite3
import sys
import threading
import time
from typing import TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    text: str


def build(saver):
    graph = StateGraph(State)
    names = [f"step{number}" for number in range(1, 11)]
    for name in names:
        graph.add_node(name, lambda state: {"text": state["text"]})
    for before, after in zip([START, *names], [*names, END]):
        graph.add_edge(before, after)
    return graph.compile(checkpointer=saver)


def main():
    file, seconds, threads = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    connection = sqlite3.connect(file, check_same_thread=False)
    # As durable as the others are: each checkpoint is synced before the next step.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    graph = build(SqliteSaver(connection))
    times, lock, end = [], threading.Lock(), time.monotonic() + seconds

    def work(number):
        count = 0
        while time.monotonic() < end:
            begin = time.monotonic()
            graph.invoke({"text": "hello"}, {"configurable": {"thread_id": f"{number}-{count}"}}, durability="sync")
            with lock:
                times.append(time.monotonic() - begin)
            count += 1

    begin, cpu = time.monotonic(), time.process_time()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    print(json.dumps({
        "chains": len(times), "seconds": time.monotonic() - begin, "cpu": time.process_time() - cpu, "times": times,
    }))


main()
