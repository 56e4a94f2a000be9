"""What redis-py needs of a server: connecting, pipelines, transactions, scanning, both protocols."""

import sys

import redis

port = int(sys.argv[1])


def check(db):
    assert db.ping()
    assert db.set("greeting", "hello", ex=100) and db.get("greeting") == "hello"
    assert 0 < db.ttl("greeting") <= 100
    assert db.expire("greeting", 50) and db.persist("greeting") and db.ttl("greeting") == -1

    with db.pipeline(transaction=False) as pipe:
        for n in range(100):
            pipe.set(f"key:{n}", n)
        pipe.get("key:42")
        assert pipe.execute()[-1] == "42"

    with db.pipeline() as pipe:
        pipe.watch("greeting")
        pipe.multi()
        pipe.set("greeting", "bye").get("greeting")
        assert pipe.execute() == [True, "bye"]

    with db.pipeline() as pipe:
        pipe.watch("greeting")
        db.set("greeting", "changed meanwhile")
        pipe.multi()
        pipe.get("greeting")
        try:
            pipe.execute()
            raise AssertionError("the transaction should have been refused")
        except redis.WatchError:
            pass

    assert {f"key:{n}" for n in range(100)} == set(db.scan_iter("key:*", count=7))
    try:
        db.execute_command("NOSUCH")
        raise AssertionError("an unknown command should have been refused")
    except redis.ResponseError as error:
        assert "unknown command" in str(error)


for protocol in (2, 3):
    try:
        db = redis.Redis(port=port, protocol=protocol, decode_responses=True, client_name=f"smoke-{protocol}")
    except TypeError:
        # Versions before 5 speak RESP2 only.
        db = redis.Redis(port=port, decode_responses=True, client_name=f"smoke-{protocol}")
    check(db)
    assert f"smoke-{protocol}" in [client["name"] for client in db.client_list()]
    assert db.client_id() > 0 and db.client_getname() == f"smoke-{protocol}"
    assert db.command_count() > 50 and db.command()["get"]["arity"] == 2
    db.flushdb()
    db.close()

hello = redis.Redis(port=port).execute_command("HELLO", "3")
pairs = hello if isinstance(hello, dict) else dict(zip(hello[::2], hello[1::2]))
assert pairs[b"proto"] == 3 and pairs[b"server"] == b"redis"
print("fine")
