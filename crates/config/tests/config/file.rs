//! Redis' syntax, TOML and options on the command line.

use russet_config::{CommandLine, Config, split_arguments};

use crate::{check_get, load, loaded};

/// Reading `text` fails at `line`, and Redis would say why in these words.
#[track_caller]
fn check_refused(text: &str, line: usize, reason: &str) {
    let error = load(&mut Config::new(), text).unwrap_err();
    assert_eq!((error.line, error.reason.as_str()), (line, reason));
}

#[track_caller]
fn check_split(line: &str, words: &[&str]) {
    assert_eq!(split_arguments(line).unwrap(), words);
}

#[test]
fn words_split_as_in_redis() {
    check_split("", &[]);
    check_split("  a\tb\x0b c ", &["a", "b\x0b", "c"]);
    check_split(r#""a b" 'c d'"#, &["a b", "c d"]);
    check_split(r#""\x41\n\"\q" 'it\'s \n'"#, &["A\n\"q", r"it's \n"]);
    check_split(r#"pre"fix" """#, &["prefix", ""]);
    check_split(r#""\xzz""#, &["xzz"]);
    for unbalanced in [r#""a"#, "'a", r#""a"b"#, "'a'b", r#""a\"#] {
        assert!(split_arguments(unbalanced).is_err(), "{unbalanced}");
    }
}

#[test]
fn lines_set_parameters() {
    let config = loaded("# comment\n\n  PORT 7000 \r\nrequirepass \"a b\"\nslave-read-only no\n");
    check_get(&config, "port", "7000");
    check_get(&config, "requirepass", "a b");
    check_get(&config, "replica-read-only", "no");
}

#[test]
fn refusals_read_as_in_redis() {
    check_refused("port 1\n\nport x", 3, "argument couldn't be parsed into an integer");
    check_refused("port", 1, "wrong number of arguments");
    check_refused("port 1 2", 1, "wrong number of arguments");
    check_refused("port 70000", 1, "argument must be between 0 and 65535 inclusive");
    check_refused("unixsocketperm 999", 1, "argument couldn't be parsed as an octal number");
    check_refused("unixsocketperm 1000", 1, "argument must be between 0 and 777 inclusive");
    check_refused("invalid", 1, "Bad directive or wrong number of arguments");
    check_refused("logfile \"x", 1, "Unbalanced quotes in configuration line");
    check_refused("replicaof host abc", 1, "Invalid primary port");
    check_refused("search.limit", 1, "Module config specified without value");
    check_refused("dbfilename a/b", 1, "dbfilename can't be a path, just a filename");
    check_refused(
        "cluster-announce-hostname a_b",
        1,
        "Hostnames may only contain alphanumeric characters, hyphens or dots",
    );
    check_refused(
        "cluster-enabled yes\nreplicaof host 1",
        0,
        "replicaof directive not allowed in cluster mode",
    );
}

#[test]
fn the_error_prints_as_redis_prints_it() {
    let error = load(&mut Config::new(), "port 1\nport x\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "\n*** FATAL CONFIG FILE ERROR (Redis 7.4.0) ***\n\
         Reading the configuration file, at line 2\n>>> 'port x'\n\
         argument couldn't be parsed into an integer"
    );
}

#[test]
fn forgotten_names_pass() {
    loaded("lua-replicate-commands yes\nlist-max-ziplist-entries 5");
}

#[test]
fn directives_are_handed_on() {
    let config = loaded("user alice on >pw\nrename-command FLUSHDB \"\"\nsentinel\nsearch.limit 5");
    let words: Vec<String> = config.directives().iter().map(|line| line.words.join(",")).collect();
    assert_eq!(words, ["user,alice,on,>pw", "rename-command,FLUSHDB,", "search.limit,5"]);
    let error = config.directives()[1].error("No such command in rename-command");
    assert_eq!((error.line, error.text.as_str()), (2, "rename-command FLUSHDB \"\""));
}

#[test]
fn include_reads_in_place() {
    let mut config = Config::new();
    let mut files = |name: &str| match name {
        "a" => Ok("port 2\ntimeout 7".to_owned()),
        "bad" => Ok("\nport x".to_owned()),
        "circle" => Ok("include circle".to_owned()),
        _ => Err("No such file or directory".to_owned()),
    };
    config.load("main", "port 1\ninclude a\nhz 20", &mut files).unwrap();
    check_get(&config, "port", "2");
    check_get(&config, "timeout", "7");
    let error = config.load("main", "include bad", &mut files).unwrap_err();
    assert_eq!((error.file.as_str(), error.line), ("bad", 2));
    let error = config.load("main", "include nofile", &mut files).unwrap_err();
    let reason = "Fatal error, can't open config file 'nofile': No such file or directory";
    assert_eq!(error.reason, reason);
    assert!(config.load("main", "include circle", &mut files).is_err());
}

#[test]
fn save_lines_add_up_after_the_first() {
    check_get(&Config::new(), "save", "3600 1 300 100 60 10000");
    check_get(&loaded("save 100 100"), "save", "100 100");
    let mut config = loaded("save 900 1");
    load_args(&mut config, &["--save", "100", "100"]).unwrap();
    check_get(&config, "save", "900 1 100 100");
    load_args(&mut config, &["--save", ""]).unwrap();
    check_get(&config, "save", "");
    check_get(&loaded("save 1 2\nsave \"\"\nsave 3 4"), "save", "3 4");
    check_get(&loaded("save \"1 2 3 4\""), "save", "1 2 3 4");
}

#[test]
fn a_cluster_has_its_own_number_of_databases() {
    check_get(&loaded("cluster-enabled yes"), "databases", "1");
    check_get(&loaded("cluster-enabled yes\ncluster-databases 4"), "databases", "4");
}

fn load_args(config: &mut Config, arguments: &[&str]) -> Result<(), russet_config::FileError> {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    config.load_args(&arguments, &mut |_| Err("no".to_owned()))
}

/// These arguments make CONFIG GET print these values.
#[track_caller]
fn check_args(arguments: &[&str], expected: &[(&str, &str)]) {
    let mut config = Config::new();
    load_args(&mut config, arguments).unwrap();
    for (name, value) in expected {
        check_get(&config, name, value);
    }
}

#[track_caller]
fn check_args_refused(arguments: &[&str], text: &str, reason: &str) {
    let error = load_args(&mut Config::new(), arguments).unwrap_err();
    assert_eq!(error.text, text);
    assert!(error.reason.starts_with(reason), "{}", error.reason);
}

#[test]
fn options_set_parameters() {
    let verbose = ("loglevel", "verbose");
    check_args(&["--port", "6380", "--loglevel", "verbose"], &[("port", "6380"), verbose]);
    check_args(
        &[
            "f.conf",
            "loglevel",
            "verbose",
            "--maxmemory '700mb'",
            "--maxmemory-policy volatile-lru",
        ],
        &[("maxmemory", "734003200"), ("maxmemory-policy", "volatile-lru")],
    );
    let title = "--my--title--template";
    check_args(
        &["--proc-title-template", title, "--loglevel", "verbose"],
        &[("proc-title-template", title), verbose],
    );
    check_args(
        &["--proc-title-template --my--title--template", "--loglevel verbose"],
        &[("proc-title-template", title), verbose],
    );
    check_args(
        &[
            "--shutdown-on-sigint",
            "nosave",
            "force",
            "now",
            "--shutdown-on-sigterm",
            "nosave force",
        ],
        &[("shutdown-on-sigint", "nosave now force"), ("shutdown-on-sigterm", "nosave force")],
    );
    check_args(&["--save", "3600 1", "--save", "60", "1000"], &[("save", "3600 1 60 1000")]);
}

#[test]
fn an_empty_save_needs_no_value() {
    for arguments in [
        &["--save", "--loglevel", "verbose"][..],
        &["--loglevel", "verbose", "--save"],
        &["--save", "", "--loglevel", "verbose"],
        &["--loglevel", "verbose", "--save", ""],
        &["--proc-title-template", "--save", "--save", "", "--loglevel", "verbose"],
    ] {
        check_args(arguments, &[("save", ""), ("loglevel", "verbose")]);
    }
}

#[test]
fn wrong_options_are_refused_as_by_redis() {
    let count = "wrong number of arguments";
    check_args_refused(&["--invalid"], "invalid", "Bad directive or wrong number of arguments");
    check_args_refused(&["--port"], "port", count);
    check_args_refused(&["--port", "6380", "--loglevel"], "loglevel", count);
    check_args_refused(&["--port", "6379", "6380"], r#"port "6379" "6380""#, count);
    let swallowed = ["--port", "--loglevel", "verbose"];
    check_args_refused(&swallowed, r#"port "--loglevel" "verbose""#, count);
    let bla = ["--port", "--bla", "--loglevel", "verbose"];
    check_args_refused(&bla, r#"port "--bla""#, "argument couldn't be parsed into an integer");
    let one_of = "argument(s) must be one of the following";
    check_args_refused(
        &["--logfile", "--my", "--loglevel", "--bla"],
        r#"loglevel "--bla""#,
        one_of,
    );
    check_args_refused(&["--shutdown-on-sigint"], "shutdown-on-sigint", one_of);
    let port = "Invalid primary port";
    check_args_refused(&["--replicaof", "--1", "abc"], r#"replicaof "--1" "abc""#, port);
    check_args_refused(&["--replicaof", "--1", "--abc"], r#"replicaof "--1""#, count);
}

#[test]
fn lines_of_options_count_on_from_the_file() {
    assert_eq!(load_args(&mut Config::new(), &["--port", "x"]).unwrap_err().line, 2);
    let mut config = loaded("timeout 1\nhz 20\n");
    assert_eq!(load_args(&mut config, &["--timeout", "2", "--port", "x"]).unwrap_err().line, 5);
}

#[test]
fn a_command_line_names_a_file_and_standard_input() {
    let parse = |arguments: &[&str]| {
        CommandLine::parse(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let line = parse(&["a.conf", "--port", "1", "-"]);
    assert_eq!((line.file.as_deref(), line.stdin), (Some("a.conf"), true));
    assert_eq!(line.options, "port \"1\" ");
    assert!(parse(&["-", "--port", "1"]).stdin);
    assert_eq!(parse(&["--sentinel", "--port", "1"]).options, "sentinel \nport \"1\" ");
    assert_eq!(parse(&[]), CommandLine::default());
}

fn load_toml(text: &str) -> Result<Config, russet_config::FileError> {
    let mut config = Config::new();
    config.load_toml("test.toml", text, &mut |_| Ok("timeout 9".to_owned())).map(|()| config)
}

#[test]
fn toml_sets_parameters() {
    let config = load_toml(
        "port = 7000\nappendonly = true\nmaxmemory = \"1gb\"\nsave = [\"900 1\", \"60 5\"]\n\
         bind = [\"::1\", \"127.0.0.1\"]\noom-score-adj-values = [1, 2, 3]\n\
         latency-tracking-info-percentiles = [50, 99.9]\nshutdown-on-sigint = \"nosave now\"\n\
         user = [\"alice on\", \"bob off\"]\ninclude = \"more.conf\"\n[tls]\ntls-port = 7001\n",
    )
    .unwrap();
    for (name, value) in [
        ("port", "7000"),
        ("appendonly", "yes"),
        ("maxmemory", "1073741824"),
        ("save", "900 1 60 5"),
        ("bind", "::1 127.0.0.1"),
        ("oom-score-adj-values", "1 2 3"),
        ("latency-tracking-info-percentiles", "50 99.9"),
        ("shutdown-on-sigint", "nosave now"),
        ("timeout", "9"),
        ("tls-port", "7001"),
    ] {
        check_get(&config, name, value);
    }
    assert_eq!(config.directives()[1].words, ["user", "bob", "off"]);
    check_get(&load_toml("save = []").unwrap(), "save", "");
}

#[test]
fn toml_errors_name_the_line() {
    for (text, line, reason) in [
        ("hz = 10\nport = \"x\"", 2, "argument couldn't be parsed into an integer"),
        ("\n[group]\nnosuch = 1", 3, "Bad directive or wrong number of arguments"),
        ("hz = 10\nport = [1, 2]", 2, "wrong number of arguments"),
        ("port = 1979-05-27", 1, "argument must be text, a number"),
    ] {
        let error = load_toml(text).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.reason.starts_with(reason), "{error}");
    }
    assert_eq!(load_toml("hz = 10\nport = = 2\n").unwrap_err().line, 2);
}
