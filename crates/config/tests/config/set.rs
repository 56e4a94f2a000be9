//! CONFIG GET and CONFIG SET, with Redis' own error texts.

use russet_config::{Caller, Config, SetError, Share, event, id};

use crate::{check_get, loaded};

const NOBODY: Caller = Caller { local: false, loading: false };

fn set(config: &mut Config, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, SetError> {
    let pairs: Vec<(&[u8], &[u8])> =
        pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    config.set(&pairs, NOBODY).map(|ids| ids.into_iter().map(russet_config::Id::name).collect())
}

/// `CONFIG SET name value` fails for this reason.
#[track_caller]
fn check_refused(name: &str, value: &str, reason: &str) {
    let refused = set(&mut Config::new(), &[(name, value)]).unwrap_err().to_string();
    let begin = format!("CONFIG SET failed (possibly related to argument '{name}') - ");
    assert_eq!(refused, begin + reason);
}

/// `CONFIG SET name value` makes CONFIG GET print `shown`.
#[track_caller]
fn check_set(name: &str, value: &str, shown: &str) {
    let mut config = Config::new();
    set(&mut config, &[(name, value)]).unwrap();
    check_get(&config, name, shown);
}

#[test]
fn refusals_read_as_in_redis() {
    check_refused("appendonly", "maybe", "argument must be 'yes' or 'no'");
    check_refused("port", "abc", "argument couldn't be parsed into an integer");
    check_refused("port", "+1", "argument couldn't be parsed into an integer");
    check_refused("port", "007", "argument couldn't be parsed into an integer");
    check_refused("port", "", "argument couldn't be parsed into an integer");
    check_refused("maxclients", "0", "argument must be between 1 and 4294967295 inclusive");
    check_refused("timeout", "-1", "argument must be between 0 and 2147483647 inclusive");
    check_refused("maxmemory", "1x", "argument must be a memory value");
    check_refused("maxmemory", "-1", "argument must be a memory value");
    check_refused(
        "repl-backlog-size",
        "0",
        "argument must be between 1 and 9223372036854775807 inclusive",
    );
    check_refused("maxmemory-clients", "1x", "argument must be a memory or percent value");
    check_refused("maxmemory-clients", "200%", "percentage argument must be less or equal to 100");
    check_refused(
        "maxmemory-policy",
        "foo",
        "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, \
         volatile-ttl, volatile-lrm, allkeys-lru, allkeys-lfu, allkeys-random, allkeys-lrm, \
         volatile-s3fifo, volatile-sieve, volatile-tinylfu, allkeys-s3fifo, allkeys-sieve, \
         allkeys-tinylfu, noeviction",
    );
}

#[test]
fn refusals_of_lists_read_as_in_redis() {
    let flags = "argument(s) must be one of the following: default, save, nosave, now, force";
    check_refused("shutdown-on-sigint", "foo", flags);
    check_refused("shutdown-on-sigint", "", flags);
    check_refused(
        "shutdown-on-sigint",
        "save nosave",
        "shutdown options SAVE and NOSAVE can't be used simultaneously",
    );
    check_refused("save", "1", "Invalid save parameters");
    check_refused("save", "0 1", "Invalid save parameters");
    check_refused(
        "client-output-buffer-limit",
        "abc",
        "Wrong number of arguments in buffer limit configuration.",
    );
    check_refused(
        "client-output-buffer-limit",
        "master 1 1 1",
        "Invalid client class specified in buffer limit configuration.",
    );
    check_refused(
        "client-output-buffer-limit",
        "normal 1 x 1",
        "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
    );
    check_refused("oom-score-adj-values", "1", "wrong number of arguments");
    check_refused(
        "oom-score-adj-values",
        "1 1 2001",
        "Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
    );
    check_refused(
        "notify-keyspace-events",
        "Q",
        "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
    );
    let percentiles = "latency-tracking-info-percentiles";
    check_refused(percentiles, "x", "Invalid latency-tracking-info-percentiles parameters");
    check_refused(
        percentiles,
        "101",
        "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
    );
}

#[test]
fn some_parameters_cannot_be_set() {
    check_refused("daemonize", "yes", "can't set immutable config");
    check_refused("DAEMONIZE", "yes", "can't set immutable config");
    check_refused("dir", "/", "can't set protected config");
    check_refused("dbfilename", "a/b", "can't set protected config");
    let unknown = set(&mut Config::new(), &[("nosuch", "1")]).unwrap_err().to_string();
    assert_eq!(unknown, "Unknown option or number of arguments for CONFIG SET - 'nosuch'");
}

#[test]
fn protected_parameters_are_set_by_whom_the_configuration_allows() {
    let dir: &[(&[u8], &[u8])] = &[(b"dir", b"/tmp")];
    let local = Caller { local: true, loading: false };
    let mut config = loaded("enable-protected-configs local");
    assert!(config.set(dir, NOBODY).is_err());
    assert!(config.set(dir, local).is_ok());
    assert!(loaded("enable-protected-configs yes").set(dir, NOBODY).is_ok());
    let name: &[(&[u8], &[u8])] = &[(b"dbfilename", b"a/b")];
    let reason = config.set(name, local).unwrap_err().to_string();
    assert!(reason.ends_with(" - dbfilename can't be a path, just a filename"), "{reason}");
}

#[test]
fn some_parameters_are_not_set_while_loading() {
    let loading = Caller { local: true, loading: true };
    let mut config = loaded("enable-protected-configs yes");
    assert_eq!(config.set(&[(b"dir", b"asdf")], loading), Err(SetError::Loading));
    assert_eq!(config.set(&[(b"loglevel", b"debug")], loading).map(|ids| ids.len()), Ok(1));
}

#[test]
fn values_are_printed_as_in_redis() {
    check_set("maxmemory", "700mb", "734003200");
    check_set("maxmemory", "1K", "1000");
    check_set("maxmemory-clients", "5%", "5%");
    check_set("maxmemory-clients", "0", "0");
    check_set("hz", "1000", "500");
    check_set("hz", "0", "1");
    check_set("save", "3000 5", "3000 5");
    check_set("save", "", "");
    check_set("shutdown-on-sigint", "force NOSAVE now", "nosave now force");
    check_set("notify-keyspace-events", "KEA", "AKE");
    check_set("notify-keyspace-events", "Kn$m", "$nKm");
    check_set("oom-score-adj", "relative", "yes");
    check_set("latency-tracking-info-percentiles", "0.0 50.10 100", "0 50.1 100");
    check_set(
        "client-output-buffer-limit",
        "replica 1mb 2k 3",
        "normal 1073741824 0 0 slave 1048576 2000 3 pubsub 33554432 8388608 60",
    );
    check_set("bind", "", "");
}

#[test]
fn several_are_set_together_or_not_at_all() {
    let mut config = Config::new();
    let fine = [("maxmemory", "10000001"), ("repl-backlog-size", "10000002"), ("save", "3000 5")];
    assert_eq!(set(&mut config, &fine), Ok(vec!["maxmemory", "repl-backlog-size", "save"]));
    assert_eq!(set(&mut config, &fine), Ok(vec![]), "nothing changed the second time");
    let wrong = [("maxmemory", "1"), ("maxmemory-clients", "200%"), ("timeout", "invalid")];
    let error = set(&mut config, &wrong).unwrap_err();
    let reason = "percentage argument must be less or equal to 100";
    assert_eq!(error, SetError::failed("maxmemory-clients", reason));
    check_get(&config, "maxmemory", "10000001");
    let twice = set(&mut config, &[("timeout", "1"), ("timeout", "2")]).unwrap_err();
    assert_eq!(twice, SetError::failed("timeout", "duplicate parameter"));
}

#[test]
fn a_certificate_set_to_the_same_path_counts_as_changed() {
    let mut config = loaded("tls-cert-file a.pem");
    assert_eq!(set(&mut config, &[("tls-cert-file", "a.pem")]), Ok(vec!["tls-cert-file"]));
}

#[test]
fn every_parameter_can_be_set_to_what_it_is() {
    let mut config = loaded("enable-protected-configs yes");
    for (name, value) in config.matching(&[b"*"], |_| |_: &[u8]| true) {
        let before = config.get(&name);
        match config.set(&[(name.as_bytes(), value.as_bytes())], NOBODY) {
            Err(error) => assert!(error.to_string().ends_with("can't set immutable config")),
            Ok(changed) => assert!(changed.iter().all(|id| id.parameter().volatile), "{name}"),
        }
        assert_eq!(config.get(&name), before, "{name}");
    }
}

/// Enough of a glob for a test: a star at one end.
fn star(pattern: &[u8]) -> impl Fn(&[u8]) -> bool + use<> {
    let pattern = pattern.to_vec();
    move |name| match &pattern[..] {
        [b'*', tail @ ..] => name.ends_with(tail),
        [head @ .., b'*'] => name.starts_with(head),
        _ => pattern == name,
    }
}

#[test]
fn get_answers_each_name_once() {
    let config = Config::new();
    let found = config.matching(&[b"maxmemory", b"maxmemory*", b"bind", b"*of"], star);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.iter().filter(|name| **name == "maxmemory").count(), 1);
    for name in ["maxmemory-samples", "maxmemory-clients", "bind", "replicaof", "slaveof"] {
        assert!(names.contains(&name), "{name}");
    }
    let typed = config.matching(&[b"MaxMemory", b"maxmemory"], star);
    assert_eq!(typed, [("MaxMemory".to_owned(), "0".to_owned())]);
    assert!(config.matching(&[b"key-load*"], star).is_empty(), "hidden");
    assert_eq!(config.matching(&[b"key-load-delay"], star).len(), 1);
    assert!(config.matching(&[b"nothing"], star).is_empty());
}

#[test]
fn valkeys_names_find_the_same() {
    let mut config = Config::new();
    set(&mut config, &[("primaryauth", "secret"), ("commandlog-execution-slower-than", "5")])
        .unwrap();
    check_get(&config, "masterauth", "secret");
    check_get(&config, "slowlog-log-slower-than", "5");
}

#[test]
fn typed_reads_agree_with_what_is_printed() {
    let config = loaded(
        "maxmemory 1mb\nappendonly yes\nappendfsync always\nio-threads 3\nmaxmemory-clients 5%\n\
         notify-keyspace-events KA\nreplicaof host 7000\nbind 127.0.0.1 -::1\nlogfile x",
    );
    assert_eq!(config.memory(const { id("maxmemory") }), 1 << 20);
    assert!(config.bool(const { id("appendonly") }));
    assert_eq!(config.choice(const { id("appendfsync") }), "always");
    assert_eq!(config.threads(const { id("io-threads") }), 3);
    assert_eq!(config.share(const { id("maxmemory-clients") }), Share::Percent(5));
    let events = config.integer(const { id("notify-keyspace-events") });
    assert_eq!(events, event::ALL | event::KEYSPACE);
    assert_eq!(config.replica_of(), Some(("host", 7000)));
    assert_eq!(config.addresses(), ["127.0.0.1", "-::1"]);
    assert_eq!(config.text(const { id("logfile") }), "x");
    assert_eq!(config.save_rules().len(), 3);
    assert_eq!(config.output_buffer_limits()[2].soft_seconds, 60);
    assert_eq!(config.oom_scores(), [0, 200, 800]);
    assert_eq!(config.percentiles().len(), 3);
}

#[test]
fn defaults_left_to_the_server_print_as_numbers() {
    let config = Config::new();
    check_get(&config, "io-threads", "1");
    assert_eq!(config.share(const { id("maxmemory-clients") }), Share::Auto);
    check_get(&config, "maxmemory-clients", "10%");
    let config = config.with_cores(12);
    assert_eq!(config.threads(const { id("io-threads") }), 12);
    check_get(&config, "io-threads", "12");
}

#[test]
fn parameters_without_effect_are_named_when_used() {
    assert_eq!(Config::new().inert_in_use(), Vec::<&str>::new());
    let config = loaded("crash-memcheck-enabled no\nactiverehashing yes\nport 1");
    assert_eq!(config.inert_in_use(), ["crash-memcheck-enabled"]);
}
