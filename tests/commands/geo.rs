//! What the commands about places answer.

use russet_testkit::Transcript;

use crate::{Server, server};

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

/// Runs the same checks on a small set and on a large one, with two towns of Sicily in it.
fn in_sicily(checks: impl Fn(&mut Transcript)) {
    for entries in ["128", "0"] {
        let server = Server::with(&["--zset-max-listpack-entries", entries]);
        let mut t = Transcript::new(server.client());
        t.check("GEOADD s 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", "2");
        checks(&mut t);
    }
}

#[test]
fn places_are_scores_of_a_sorted_set() {
    in_sicily(|t| {
        t.check("ZSCORE s Palermo", "3479099956230698");
        t.check("TYPE s", "zset");
        t.check("GEOADD s XX CH 15 37 Catania 1 1 none", "1");
        t.check("GEOADD s NX 1 1 Catania", "0");
        t.check("GEOADD s NX XX 1 1 a", "-ERR syntax error");
        t.check("GEOADD s 1 1", "-ERR wrong number of arguments for 'geoadd' command");
        t.check("GEOADD s 200 10 a", "-ERR invalid longitude,latitude pair 200.000000,10.000000");
        t.check("GEOADD s x 10 a", "-ERR value is not a valid float");
    });
}

#[test]
fn positions_distances_and_geohashes_are_told() {
    in_sicily(|t| {
        t.check(
            "GEOPOS s Palermo none Catania",
            "[[13.36138933897018433, 38.11555639549629859], (nil), [15.08726745843887329, 37.50266842333162032]]",
        );
        t.check("GEODIST s Palermo Catania", "166274.1516");
        t.check("GEODIST s Palermo Catania KM", "166.2742");
        t.check("GEODIST s Palermo Catania mi", "103.3182");
        t.check("GEODIST s Palermo none", "(nil)");
        t.check("GEODIST s Palermo Palermo", "0.0000");
        t.check(
            "GEODIST s Palermo Catania x",
            "-ERR unsupported unit provided. please use M, KM, FT, MI",
        );
        t.check("GEOHASH s Palermo none Catania", "[sqc8b49rny0, (nil), sqdtr74hyu0]");
        t.check("GEOPOS none a", "[(nil)]");
        t.check("SET str v", "OK");
        t.check("GEOPOS str a", WRONG_TYPE);
    });
}

#[test]
fn circles_boxes_and_polygons_are_searched() {
    in_sicily(|t| {
        t.check("GEOADD s 12.758489 38.788135 edge1 17.241510 38.788135 edge2", "2");
        t.check("GEOSEARCH s FROMLONLAT 15 37 BYRADIUS 200 km ASC", "[Catania, Palermo]");
        t.check(
            "GEOSEARCH s FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHDIST",
            "[[Catania, 56.4413], [Palermo, 190.4424], [edge2, 279.7403], [edge1, 279.7405]]",
        );
        t.check("GEOSEARCH s FROMMEMBER Palermo BYRADIUS 10 km", "[Palermo]");
        t.check("GEOSEARCH s FROMLONLAT 15 37 BYRADIUS 200 km COUNT 1", "[Catania]");
        t.check("GEOSEARCH s FROMLONLAT 15 37 BYRADIUS 200 km COUNT 1 DESC", "[Palermo]");
        t.check(
            "GEOSEARCH s FROMMEMBER Catania BYRADIUS 1 m WITHHASH WITHCOORD WITHDIST",
            "[[Catania, 0.0000, 3479447370796909, [15.08726745843887329, 37.50266842333162032]]]",
        );
        t.check("GEOSEARCH s BYPOLYGON 3 14 36 16 36 15 39", "[Catania]");
        t.check("GEOSEARCH none FROMMEMBER a BYRADIUS 1 m", "[]");
        t.check(
            "GEOSEARCH s FROMMEMBER none BYRADIUS 1 m",
            "-ERR could not decode requested zset member",
        );
        t.check(
            "GEOSEARCH s BYRADIUS 1 m ASC WITHDIST",
            "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH",
        );
        t.check(
            "GEOSEARCH s FROMLONLAT 1 1 ASC WITHDIST",
            "-ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH",
        );
        t.check(
            "GEOSEARCH s FROMLONLAT 1 1 BYRADIUS 1 m ANY",
            "-ERR the ANY argument requires COUNT argument",
        );
        t.check("GEOSEARCH s FROMLONLAT 1 1 BYRADIUS 1 m COUNT 0", "-ERR COUNT must be > 0");
        t.check("GEOSEARCH s FROMLONLAT 1 1 BYRADIUS -1 m", "-ERR radius cannot be negative");
    });
}

#[test]
fn what_is_found_is_stored() {
    in_sicily(|t| {
        t.check("GEOSEARCHSTORE d s FROMLONLAT 15 37 BYRADIUS 200 km", "2");
        t.check("ZRANGE d 0 -1", "[Palermo, Catania]");
        t.check("GEOSEARCHSTORE d s FROMLONLAT 15 37 BYRADIUS 100 km STOREDIST", "1");
        t.check("ZRANGE d 0 -1", "[Catania]");
        t.check("GEORADIUS s 15 37 200 km STORE e", "2");
        t.check("GEORADIUSBYMEMBER s Palermo 10 km STOREDIST e", "1");
        t.check("ZRANGE e 0 -1 WITHSCORES", "[Palermo, 0]");
        t.check("GEOSEARCHSTORE e s FROMLONLAT 0 0 BYRADIUS 1 m", "0");
        t.check("EXISTS e", "0");
        t.check(
            "GEORADIUS s 15 37 200 km WITHDIST STORE e",
            "-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        );
        t.check("GEORADIUS_RO s 15 37 200 km STORE e", "-ERR syntax error");
    });
}

#[test]
fn the_older_words_still_search() {
    in_sicily(|t| {
        t.check("GEORADIUS s 15 37 200 km ASC", "[Catania, Palermo]");
        t.check("GEORADIUS_RO s 15 37 100 km WITHDIST", "[[Catania, 56.4413]]");
        t.check("GEORADIUSBYMEMBER s Palermo 200 km DESC", "[Catania, Palermo]");
        t.check("GEORADIUSBYMEMBER_RO s Palermo 200 km COUNT 1", "[Palermo]");
        t.check("GEORADIUSBYMEMBER none a 1 km", "[]");
        t.check("GEORADIUS s 15 37 x km", "-ERR need numeric radius");
    });
    let server = server();
    let mut t = Transcript::new(server.client());
    t.run("HELLO 3");
    t.run("GEOADD s 13.361389 38.115556 Palermo");
    t.check("GEOPOS s Palermo none", "[[,13.36138933897018433, ,38.11555639549629859], (nil)]");
    t.strict("GEODIST s Palermo Palermo", "$0.0000");
}

#[test]
fn a_word_too_many_for_geodist_is_no_unit() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("GEODIST k a b 10 KM", "-ERR syntax error");
    t.check("GEODIST k a b 10", "-ERR unsupported unit provided. please use M, KM, FT, MI");
}

#[test]
fn scores_that_are_no_places_are_where_redis_puts_them() {
    let server = server();
    let mut t = Transcript::new(server.client());
    t.check("ZADD g inf a 0 b -1 c 1e21 d", "4");
    t.check("GEODIST g a b", "0.0000");
    t.check(
        "GEOPOS g a c",
        "[[-179.99999731779098511, -85.05112751263942528], [180, 85.0511287799999991]]",
    );
    t.check("GEOHASH g a b c d", "[00bh0hbj200, 00bh0hbj200, bp05b5048p0, 00bh0hbj200]");
}
