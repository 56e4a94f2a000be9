//! The files generated from the table are current and load.

use russet_config::{Config, Id, markdown, redis_conf, russet_toml};

use crate::loaded;

/// The file at `path` below the root of the project holds `text`; `UPDATE_DOCS=1` makes it so.
#[expect(clippy::disallowed_methods, reason = "the test compares files, the crate does not")]
#[track_caller]
fn check_current(path: &str, text: &str) {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let current = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(current == text, "{path} is out of date: UPDATE_DOCS=1 cargo test -p russet-config");
}

#[test]
fn the_files_are_current() {
    check_current("config/redis.conf", &redis_conf());
    check_current("config/russet.toml", &russet_toml());
    check_current("docs/configuration.md", &markdown());
}

#[track_caller]
fn check_default(config: &Config) {
    for id in Id::all() {
        assert!(config.is_default(id), "{} became {}", id.name(), config.show(id));
    }
}

/// The text with what it leaves out put in.
fn uncommented(text: &str, sign: &str) -> String {
    let is_entry = |rest: &str| {
        let (name, _) = rest.split_once(sign).unwrap_or((rest, ""));
        russet_config::find(name).is_some_and(|(id, _)| id.name() == name)
    };
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_entry(rest) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn redis_conf_holds_the_defaults() {
    check_default(&loaded(&redis_conf()));
    let all = uncommented(&redis_conf(), " ");
    assert!(all.contains("\nreplicaof no one\n"));
    check_default(&loaded(&all));
}

#[test]
fn russet_toml_holds_the_defaults() {
    for text in [russet_toml(), uncommented(&russet_toml(), " = ")] {
        let mut config = Config::new();
        config.load_toml("russet.toml", &text, &mut |_| Err("no".to_owned())).unwrap();
        check_default(&config);
    }
}

#[test]
fn every_parameter_stands_in_every_file() {
    for id in Id::all().filter(|id| !id.parameter().hidden) {
        let name = id.name();
        assert!(redis_conf().contains(&format!("{name} ")), "{name}");
        assert!(russet_toml().contains(&format!("{name} = ")), "{name}");
        assert!(markdown().contains(&format!("`{name}`")), "{name}");
    }
}
