"""Every family of data as redis-py's documentation uses it, in both protocols, and what people build with it:
a leaderboard, a limiter, a pool of workers of which one dies, a store of sessions."""

import sys
import threading
import time

import redis

port = int(sys.argv[1])


def strings(db):
    assert db.mset({"a": 1, "b": 2}) and db.mget("a", "b", "none") == ["1", "2", None]
    assert db.incrby("a", 9) == 10 and db.incrbyfloat("f", 1.5) == 1.5
    assert db.append("t", "hello") == 5 and db.getrange("t", 1, 3) == "ell"
    assert db.set("t", "new", get=True) == "hello" and db.getdel("t") == "new"
    assert db.set("only", "x", nx=True) and db.set("only", "y", nx=True) is None
    assert db.getex("only", ex=100) == "x" and 0 < db.ttl("only") <= 100
    assert db.setrange("r", 5, "x") == 6 and db.strlen("r") == 6
    assert db.lcs("a", "a") == "10"


def bits(db):
    assert db.setbit("days", 7, 1) == 0 and db.getbit("days", 7) == 1
    db.setbit("other", 6, 1)
    assert db.bitop("OR", "both", "days", "other") == 1 and db.bitcount("both") == 2
    assert db.bitpos("both", 1) == 6
    field = db.bitfield("counters", default_overflow="SAT").set("u8", "#0", 250).incrby("u8", "#0", 100)
    assert field.execute() == [0, 255]


def lists(db):
    assert db.rpush("jobs", "a", "b", "c") == 3 and db.lpush("jobs", "z") == 4
    assert db.lrange("jobs", 0, -1) == ["z", "a", "b", "c"] and db.lindex("jobs", -1) == "c"
    assert db.lmove("jobs", "done", "LEFT", "RIGHT") == "z" and db.lpos("jobs", "b") == 1
    assert db.linsert("jobs", "BEFORE", "b", "x") == 4 and db.lrem("jobs", 0, "x") == 1
    assert db.lmpop(2, "none", "jobs", direction="LEFT", count=2) == ["jobs", ["a", "b"]]
    assert tuple(db.blpop(["none", "jobs"], timeout=1)) == ("jobs", "c") and db.blpop(["none"], timeout=0.01) is None

    def push():
        redis.Redis(port=port).rpush("later", "at last")

    thread = threading.Timer(0.05, push)
    thread.start()
    assert tuple(db.blpop(["later"], timeout=5)) == ("later", "at last")
    thread.join()


def sets(db):
    assert db.sadd("odd", 1, 3, 5) == 3 and db.sadd("prime", 2, 3, 5) == 3
    assert set(db.sinter("odd", "prime")) == {"3", "5"} and db.sintercard(2, ["odd", "prime"]) == 2
    assert set(db.sunion("odd", "prime")) == {"1", "2", "3", "5"} and set(db.sdiff("odd", "prime")) == {"1"}
    assert db.smismember("odd", [1, 2]) == [1, 0] and db.sismember("odd", 1)
    assert db.smove("odd", "prime", 1) and set(db.smembers("odd")) == {"3", "5"}
    assert db.spop("odd") in {"3", "5"} and db.srandmember("prime", -10).__len__() == 10
    assert set(db.sscan_iter("prime")) == {"1", "2", "3", "5"}


def hashes(db):
    assert db.hset("user", mapping={"name": "ada", "visits": 1}) == 2
    assert db.hincrby("user", "visits", 4) == 5 and db.hincrbyfloat("user", "score", 0.5) == 0.5
    assert db.hmget("user", "name", "none") == ["ada", None]
    assert db.hgetall("user") == {"name": "ada", "visits": "5", "score": "0.5"}
    assert db.hrandfield("user", 2, withvalues=True) and dict(db.hscan_iter("user"))["name"] == "ada"
    assert db.hexists("user", "name") and db.hstrlen("user", "name") == 3 and db.hdel("user", "score") == 1


def sorted_sets(db):
    assert db.zadd("z", {"a": 1, "b": 2.5, "c": float("inf")}) == 3
    assert db.zrange("z", 0, -1, withscores=True)[1] in (("b", 2.5), ["b", 2.5])
    assert db.zrange("z", "(1", "+inf", byscore=True) == ["b", "c"]
    assert db.zadd("z", {"a": 5}, gt=True, ch=True) == 1 and db.zscore("z", "a") == 5.0
    assert db.zmscore("z", ["a", "none"]) == [5.0, None]
    assert db.zunionstore("u", {"z": 2, "none": 1}) == 3 and db.zscore("u", "a") == 10.0
    assert [list(pair) for pair in db.zpopmin("z", 1)] == [["b", 2.5]]
    assert list(db.bzpopmax(["z"], timeout=1)) == ["z", "c", float("inf")]
    assert dict(db.zscan_iter("u"))["b"] == 5.0
    db.zadd("names", {name: 0 for name in ("anna", "bert", "carl")})
    assert db.zrangebylex("names", "[b", "(c") == ["bert"]


def places(db):
    db.geoadd("cities", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"))
    assert 166000 < db.geodist("cities", "Palermo", "Catania") < 167000
    found = db.geosearch("cities", longitude=15, latitude=37, radius=100, unit="km", withdist=True)
    assert found[0][0] == "Catania" and 56 < found[0][1] < 57
    assert db.geohash("cities", "Palermo") == ["sqc8b49rny0"]


def counters(db):
    assert db.pfadd("today", *range(1000)) == 1
    db.pfadd("yesterday", *range(500, 1500))
    assert 950 < db.pfcount("today") < 1050 and 1400 < db.pfcount("today", "yesterday") < 1600
    assert db.pfmerge("week", "today", "yesterday")


def streams(db):
    first = db.xadd("log", {"level": "info"}, maxlen=1000)
    db.xadd("log", {"level": "warn"})
    assert db.xlen("log") == 2 and db.xrange("log")[0] == (first, {"level": "info"})
    read = db.xread({"log": first}, count=10)
    entries = read["log"][0] if isinstance(read, dict) else read[0][1]
    assert [fields["level"] for _, fields in entries] == ["warn"]
    assert db.xinfo_stream("log")["length"] == 2 and db.xtrim("log", maxlen=1, approximate=False) == 1


def keys(db):
    db.rpush("numbers", 3, 1, 2)
    assert db.sort("numbers", desc=True) == ["3", "2", "1"]
    assert db.copy("numbers", "copy") and db.rename("copy", "other") and db.type("other") == "list"
    raw = redis.Redis(port=port)
    payload = raw.dump("numbers")
    assert raw.restore("restored", 0, payload) and raw.lrange("restored", 0, -1) == [b"3", b"1", b"2"]
    assert db.object("encoding", "numbers") == "listpack" and db.touch("numbers") == 1
    assert db.expire("other", 100, nx=True) and db.unlink("other", "restored") == 2


def leaderboard(db):
    """Who plays gains points; the best and one's neighbours are shown."""
    with db.pipeline() as pipe:
        for n in range(1000):
            pipe.zadd("board", {f"player:{n}": n})
        pipe.execute()
    assert db.zincrby("board", 500.5, "player:600") == 1100.5
    assert db.zrevrank("board", "player:600") == 0
    best = db.zrange("board", 0, 2, desc=True, withscores=True)
    assert [(name, score) for name, score in best] == [("player:600", 1100.5), ("player:999", 999), ("player:998", 998)]
    rank = db.zrevrank("board", "player:500")
    around = db.zrange("board", rank - 1, rank + 1, desc=True)
    assert around == ["player:501", "player:500", "player:499"]
    assert db.zcount("board", 990, "+inf") == 11 and db.zremrangebyrank("board", 0, -101) == 900


def limiter(db):
    """No more than five calls within a sliding window of 300 ms."""

    def may_call(user):
        now = time.time()
        with db.pipeline() as pipe:
            pipe.zremrangebyscore(f"calls:{user}", 0, now - 0.3)
            pipe.zadd(f"calls:{user}", {repr(now): now})
            pipe.zcard(f"calls:{user}")
            pipe.expire(f"calls:{user}", 1)
            return pipe.execute()[2] <= 5

    assert [may_call("ada") for _ in range(7)] == [True] * 5 + [False] * 2
    assert may_call("bob")
    time.sleep(0.35)
    assert may_call("ada")


def workers(db):
    """Three workers share a stream. One takes entries and dies; another claims what it left."""
    db.xgroup_create("tasks", "pool", id="0", mkstream=True)
    for n in range(60):
        db.xadd("tasks", {"n": n})
    dead = redis.Redis(port=port, decode_responses=True)
    taken = dead.xreadgroup("pool", "dead", {"tasks": ">"}, count=10)
    dead.connection_pool.disconnect()
    assert taken
    done, lock = [], threading.Lock()

    def entries_of(read):
        if not read:
            return []
        return read["tasks"][0] if isinstance(read, dict) else read[0][1]

    def work(name):
        own = redis.Redis(port=port, protocol=protocol_of(db), decode_responses=True)
        while True:
            entries = entries_of(own.xreadgroup("pool", name, {"tasks": ">"}, count=7, block=50))
            if not entries:
                _, entries, *_ = own.xautoclaim("tasks", "pool", name, min_idle_time=100, start_id="0-0", count=4)
            if not entries and own.xpending("tasks", "pool")["pending"] == 0:
                return
            for entry, fields in entries:
                with lock:
                    done.append(int(fields["n"]))
                assert own.xack("tasks", "pool", entry) == 1

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two", "three")]
    [thread.start() for thread in threads]
    [thread.join(20) for thread in threads]
    assert sorted(done) == list(range(60)), sorted(done)
    group = db.xinfo_groups("tasks")[0]
    assert group["pending"] == 0 and group["entries-read"] == 60 and group["lag"] == 0
    assert {consumer["name"] for consumer in db.xinfo_consumers("tasks", "pool")} >= {"dead"}


def sessions(db):
    """A hash for each user, a field for each device, which ends when it is not renewed."""
    db.hset("session:ada", mapping={"phone": "token-1", "laptop": "token-2", "name": "ada"})
    assert db.hexpire("session:ada", 100, "phone") == [1]
    assert db.hpexpire("session:ada", 80, "laptop") == [1]
    assert db.httl("session:ada", "phone", "laptop", "name", "none")[2:] == [-1, -2]
    if hasattr(db, "hgetex"):
        assert db.hgetex("session:ada", "phone", ex=500) == ["token-1"]
        assert 100 < db.httl("session:ada", "phone")[0] <= 500
        assert db.hsetex("session:ada", "tablet", "token-3", px=80) == 1
    time.sleep(0.15)
    assert db.hget("session:ada", "laptop") is None and db.hlen("session:ada") == 2
    assert db.hgetall("session:ada") == {"phone": "token-1", "name": "ada"}
    assert db.hpersist("session:ada", "phone") == [1]


def protocol_of(db):
    return db.connection_pool.connection_kwargs.get("protocol", 2)


for protocol in (2, 3):
    db = redis.Redis(port=port, protocol=protocol, decode_responses=True)
    for use in (
        strings, bits, lists, sets, hashes, sorted_sets, places, counters, streams, keys,
        leaderboard, limiter, workers, sessions,
    ):
        db.flushall()
        try:
            use(db)
        except Exception:
            print(f"{use.__name__} in RESP{protocol}", file=sys.stderr)
            raise
    db.close()
print("fine")
