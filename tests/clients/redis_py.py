"""What redis-py needs of a server: connecting, pipelines, transactions, scanning, channels, caching, reconnecting, both protocols."""

import sys
import time

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
    bucket = db.register_script("""
        local tokens = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
        if tokens < 1 then return 0 end
        redis.call('SET', KEYS[1], tokens - 1, 'EX', 60)
        return 1
    """)
    assert [bucket(keys=["bucket"], args=[3]) for _ in range(5)] == [1, 1, 1, 0, 0]
    db.script_flush()
    assert bucket(keys=["bucket"], args=[3]) == 0

    with db.lock("lock", timeout=5) as lock:
        assert lock.owned() and not db.lock("lock", timeout=5).acquire(blocking=False)

    library = "#!lua name=smoke\nredis.register_function('twice', function(keys, args) return args[1] * 2 end)"
    assert db.function_load(library, replace=True) == "smoke"
    assert db.fcall("twice", 0, 21) == 42
    db.function_delete("smoke")

    try:
        db.execute_command("NOSUCH")
        raise AssertionError("an unknown command should have been refused")
    except redis.ResponseError as error:
        assert "unknown command" in str(error)


def connect(protocol, **options):
    try:
        return redis.Redis(port=port, protocol=protocol, decode_responses=True, **options)
    except TypeError:
        # Versions before 5 speak RESP2 only.
        return redis.Redis(port=port, decode_responses=True, **options)


def check_a_long_pipeline(db):
    with db.pipeline(transaction=False) as pipe:
        for n in range(5_000):
            pipe.set(f"long:{n}", n)
            pipe.get(f"long:{n}")
        replies = pipe.execute()
    assert replies[1::2] == [str(n) for n in range(5_000)] and all(replies[::2])


def await_message(channels, wanted):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        message = channels.get_message(timeout=1)
        if message and message["type"] == wanted:
            return message
    raise AssertionError(f"no {wanted}")


def kill_others(db, kind):
    """Ends all connections of a kind but the one that asks, and waits until they have noticed."""
    assert db.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes") >= 1
    time.sleep(0.2)


def check_channels(db, protocol):
    channels = db.pubsub()
    channels.subscribe("news")
    channels.psubscribe("new*")
    await_message(channels, "psubscribe")
    assert db.publish("news", "one") == 2
    assert await_message(channels, "message")["data"] == "one"
    assert await_message(channels, "pmessage")["data"] == "one"
    # Whoever is cut off comes back and subscribes again by itself.
    kill_others(db, "pubsub")
    until = time.monotonic() + 20
    while db.pubsub_numsub("news") == [("news", 0)] or db.pubsub_numpat() == 0:
        assert time.monotonic() < until
        try:
            channels.get_message(timeout=0.1)
        except redis.ConnectionError:
            pass
    assert db.publish("news", "two") == 2
    assert await_message(channels, "message")["data"] == "two"
    channels.close()


def check_reconnecting(protocol):
    db, other = connect(protocol), connect(protocol)
    assert db.set("k", "v") and other.ping()
    kill_others(other, "normal")
    try:
        assert db.get("k") == "v"
    except redis.ConnectionError:
        # Without retries it is the second command that works.
        assert db.get("k") == "v"
    db.close()
    other.close()


def check_caching():
    try:
        from redis.cache import CacheConfig
    except ImportError:
        return
    db, other = connect(3, cache_config=CacheConfig()), connect(3)
    other.set("cached", "one")
    assert db.get("cached") == "one" and db.get("cached") == "one"
    cache = db.get_cache()
    assert cache.size == 1
    before = other.info("commandstats")["cmdstat_get"]["calls"]
    assert db.get("cached") == "one"
    assert other.info("commandstats")["cmdstat_get"]["calls"] == before, "answered by the cache"
    other.set("cached", "two")
    until = time.monotonic() + 20
    while db.get("cached") != "two":
        assert time.monotonic() < until, "the cache is stale"
    other.flushdb()
    while db.get("cached") is not None:
        assert time.monotonic() < until, "the cache is stale"
    db.close()
    other.close()


for protocol in (2, 3):
    db = connect(protocol, client_name=f"smoke-{protocol}")
    check(db)
    check_a_long_pipeline(db)
    check_channels(db, protocol)
    check_reconnecting(protocol)
    assert f"smoke-{protocol}" in [client["name"] for client in db.client_list()]
    assert db.client_id() > 0 and db.client_getname() == f"smoke-{protocol}"
    assert db.command_count() > 50 and db.command()["get"]["arity"] == 2
    db.flushdb()
    db.close()

check_caching()

hello = redis.Redis(port=port).execute_command("HELLO", "3")
pairs = hello if isinstance(hello, dict) else dict(zip(hello[::2], hello[1::2]))
assert pairs[b"proto"] == 3 and pairs[b"server"] == b"redis"
print("fine")
