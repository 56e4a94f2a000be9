//! Rules over the source tree.
//!
//! What the compiler and clippy cannot say about the project stands here as tests: files open with
//! their idea, crates know only whom they may know, `unsafe` stays in its named modules, nothing is
//! left unfinished. A failure names the file and the rule; the cure is in the code or, where the
//! design itself has moved, in one of the tables below and in `docs/architecture.md` with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What may stand at the top of the repository, besides dotfiles and the build directory.
const TOP_LEVEL: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "benches",
    "clippy.toml",
    "config",
    "crates",
    "deny.toml",
    "docs",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "target",
    "tests",
];

/// Who may know whom, as drawn in `docs/architecture.md`. Only normal dependencies count: a test may
/// reach further than the code it tests.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("resp", &[]),
    ("engine", &[]),
    ("journal", &[]),
    ("config", &[]),
    ("rdb", &["engine"]),
    ("dispatch", &["config", "engine", "journal", "rdb", "resp"]),
    ("commands", &["config", "dispatch", "engine", "journal", "rdb", "resp"]),
    ("persist", &["config", "dispatch", "engine", "journal", "rdb", "resp"]),
    ("scripting", &["config", "dispatch", "engine", "rdb", "resp"]),
    (
        "server",
        &[
            "commands",
            "config",
            "dispatch",
            "engine",
            "journal",
            "persist",
            "rdb",
            "resp",
            "scripting",
        ],
    ),
];

/// Crates for tests and measurements: they may know anyone, and nobody above knows them.
const DEVELOPER_CRATES: &[&str] = &["bench", "models", "testkit"];

/// Crates that do no I/O and read no clock.
const LEAVES: &[&str] = &["resp", "engine", "journal", "rdb", "config"];

/// What gives a leaf the world it must not have, without going through `std`.
const SHELL_PACKAGES: &[&str] = &["getrandom", "libc", "mio", "rand", "socket2", "tokio"];

/// A sample of what every leaf's `clippy.toml` must disallow.
const LEAF_DISALLOWS: &[&str] = &[
    "std::fs::File",
    "std::fs::OpenOptions",
    "std::fs::read",
    "std::fs::write",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::thread::spawn",
    "std::time::Instant::now",
    "std::time::SystemTime::now",
];

/// The only files in which the word `unsafe` may be code.
const UNSAFE_MODULES: &[&str] = &[
    "crates/engine/src/collections/listpack/buffer.rs",
    "crates/engine/src/entry.rs",
    "crates/engine/src/lock.rs",
    "crates/engine/src/prefetch.rs",
    "crates/scripting/src/stack.rs",
    "crates/scripting/src/stack/call.rs",
    "crates/server/src/allocator.rs",
];

/// Marks of unfinished work in code, and (split, so that this file passes) in comments.
const UNFINISHED_CODE: &[&str] = &["todo!(", "unimplemented!(", "dbg!(", "#[ignore"];
const UNFINISHED_TEXT: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];

#[test]
fn every_file_opens_with_its_idea() {
    none(sources().filter(|(_, text)| !text.starts_with("//! ")), "does not open with `//!`");
}

#[test]
fn identifiers_are_ascii() {
    none(sources().filter(|(_, text)| !code_only(text).is_ascii()), "has a non-ASCII identifier");
}

#[test]
fn nothing_is_left_unfinished() {
    let unfinished = |text: &str| {
        let code = code_only(text);
        UNFINISHED_CODE.iter().any(|mark| code.contains(mark))
            || UNFINISHED_TEXT.iter().any(|mark| text.contains(mark))
    };
    none(sources().filter(|(_, text)| unfinished(text)), "says that something is unfinished");
}

#[test]
fn unsafe_code_stays_in_its_modules() {
    let strays = sources()
        .filter(|(path, _)| !UNSAFE_MODULES.contains(&path.as_str()))
        .filter(|(_, text)| words(&code_only(text)).any(|word| word == "unsafe"));
    none(strays, "holds `unsafe` and is not in UNSAFE_MODULES");
}

#[test]
fn crates_without_an_unsafe_module_forbid_it() {
    let open = packages()
        .into_iter()
        .filter(|package| !owns_unsafe(&package.name))
        .flat_map(|package| package.roots)
        .map(|path| (relative(&path), read(&path)))
        .filter(|(_, text)| !code_only(text).contains("#![forbid(unsafe_code)]"));
    none(open, "does not say `#![forbid(unsafe_code)]`");
}

#[test]
fn every_crate_inherits_the_lints() {
    let free = packages()
        .into_iter()
        .map(|package| (relative(&package.manifest), read(&package.manifest)))
        .filter(|(_, text)| !inherits_lints(&toml(text)));
    none(free, "does not inherit the workspace's lints");
}

#[test]
fn crates_know_only_whom_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    for package in packages().iter().filter(|p| !DEVELOPER_CRATES.contains(&p.name.as_str())) {
        let may = allowed.get(package.name.as_str());
        let may = may.unwrap_or_else(|| panic!("crate {} is not in MAY_KNOW", package.name));
        for other in package.dependencies.iter().filter_map(|name| name.strip_prefix("russet-")) {
            assert!(may.contains(&other), "{} must not depend on {other}", package.name);
        }
    }
}

#[test]
fn leaves_have_no_way_out() {
    for package in packages().iter().filter(|p| LEAVES.contains(&p.name.as_str())) {
        for other in SHELL_PACKAGES {
            assert!(
                !package.dependencies.contains(*other),
                "{} is a leaf: no {other}",
                package.name
            );
        }
    }
}

#[test]
fn leaves_disallow_files_sockets_and_clocks() {
    let shared = toml(&read(&root().join("clippy.toml")));
    let one = read(&leaf_rules(LEAVES[0]));
    let rules = toml(&one);
    for leaf in LEAVES {
        assert!(read(&leaf_rules(leaf)) == one, "the clippy.toml of {leaf} differs");
    }
    for (key, value) in shared.as_table().expect("a TOML file is a table") {
        assert!(
            rules.get(key).is_some_and(|own| includes(own, value)),
            "leaves lack the root's {key}"
        );
    }
    for path in LEAF_DISALLOWS {
        assert!(one.contains(&format!("\"{path}\"")), "leaves may use {path}");
    }
}

#[test]
fn the_top_level_holds_only_what_is_named() {
    let names = fs::read_dir(root()).expect("the root can be listed").map(|entry| {
        entry.expect("an entry can be read").file_name().to_string_lossy().into_owned()
    });
    let strays = names.filter(|n| !n.starts_with('.') && !TOP_LEVEL.contains(&n.as_str()));
    assert_eq!(strays.collect::<Vec<_>>(), [""; 0], "not part of the top level");
}

#[test]
fn comments_strings_and_characters_are_not_code() {
    let code = |text: &str| code_only(text).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(code("a // unsafe\nb /* x /* y */ z */ c"), "a b c");
    assert_eq!(code(r##"a "x\"y" b r#"un"safe"# c b"\\" d"##), "a b c b d");
    assert_eq!(code(r"f::<'a>('x', '\'', 'é') + b'\n'"), "f::<'a>( , , ) + b");
    assert_eq!(code("r#type = fn_r"), "r#type = fn_r");
}

/// Fails with one line per offending file.
fn none(files: impl Iterator<Item = (String, String)>, what: &str) {
    let lines: Vec<String> = files.map(|(path, _)| format!("{path} {what}")).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

/// Every Rust source of the project: path from the root, text.
fn sources() -> impl Iterator<Item = (String, String)> {
    let mut found = BTreeSet::new();
    for top in ["crates", "tests", "benches"] {
        collect(&root().join(top), &mut found);
    }
    assert!(!found.is_empty(), "no sources found under {}", root().display());
    found.into_iter().map(|path| (relative(&path), read(&path)))
}

/// Adds the Rust files under `folder`; a nested workspace's build directory is not ours to judge.
fn collect(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("an entry can be read").path()) {
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.insert(path);
        }
    }
}

/// One crate as cargo sees it.
struct Package {
    /// Without the `russet-` in front.
    name: String,
    manifest: PathBuf,
    /// Where the library and the binaries begin.
    roots: Vec<PathBuf>,
    /// Packages it needs to run, not those its tests need.
    dependencies: BTreeSet<String>,
}

fn packages() -> Vec<Package> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(root());
    let output = cargo.output().expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    items(&metadata["packages"]).map(package).collect()
}

fn package(json: &serde_json::Value) -> Package {
    let is_root = |target: &&serde_json::Value| {
        items(&target["kind"]).any(|kind| matches!(text(kind), "lib" | "bin"))
    };
    let is_normal = |dependency: &&serde_json::Value| dependency["kind"].is_null();
    Package {
        name: text(&json["name"]).trim_start_matches("russet-").to_owned(),
        manifest: text(&json["manifest_path"]).into(),
        roots: items(&json["targets"])
            .filter(is_root)
            .map(|target| text(&target["src_path"]).into())
            .collect(),
        dependencies: items(&json["dependencies"])
            .filter(is_normal)
            .map(|dependency| text(&dependency["name"]).to_owned())
            .collect(),
    }
}

fn items(json: &serde_json::Value) -> impl Iterator<Item = &serde_json::Value> {
    json.as_array().expect("cargo metadata has an array here").iter()
}

fn text(json: &serde_json::Value) -> &str {
    json.as_str().expect("cargo metadata has a string here")
}

fn toml(text: &str) -> toml::Value {
    toml::from_str(text).expect("a file of the project is valid TOML")
}

/// Whether `own` repeats `shared`: the same value or, for a list, every item of it.
fn includes(own: &toml::Value, shared: &toml::Value) -> bool {
    match (own, shared) {
        (toml::Value::Array(own), toml::Value::Array(shared)) => {
            shared.iter().all(|item| own.contains(item))
        }
        _ => own == shared,
    }
}

fn inherits_lints(manifest: &toml::Value) -> bool {
    let workspace = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    workspace.and_then(toml::Value::as_bool) == Some(true)
}

fn owns_unsafe(name: &str) -> bool {
    UNSAFE_MODULES.iter().any(|path| path.starts_with(&format!("crates/{name}/")))
}

fn leaf_rules(leaf: &str) -> PathBuf {
    root().join("crates").join(leaf).join("clippy.toml")
}

/// The repository: whichever crate builds this file, it lies two levels down.
fn root() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    path.canonicalize().expect("the crate lies in the repository")
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// The text without comments, strings and characters; each leaves a space behind.
fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = aside_len(rest);
        code.push(if skipped > 0 { ' ' } else { first });
        rest = &rest[if skipped > 0 { skipped } else { first.len_utf8() }..];
    }
    code
}

/// Bytes of the comment, string or character that `rest` begins with; 0 where it begins with code.
fn aside_len(rest: &str) -> usize {
    match rest.as_bytes() {
        [b'/', b'/', ..] => rest.find('\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment_len(rest),
        [b'"', ..] => 1 + quoted_len(&rest[1..], '"'),
        [b'r', b'"' | b'#', ..] => raw_string_len(rest),
        [b'\'', ..] => character_len(rest),
        _ => 0,
    }
}

fn block_comment_len(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (at, pair) in rest.as_bytes().windows(2).enumerate() {
        match pair {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at + 2;
        }
    }
    rest.len()
}

/// Bytes up to and including the closing quote.
fn quoted_len(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

/// `r"…"` and `r#"…"#`; 0 for a raw identifier such as `r#type`.
fn raw_string_len(rest: &str) -> usize {
    let hashes = rest[1..].bytes().take_while(|&byte| byte == b'#').count();
    let open = hashes + 2;
    if rest.as_bytes().get(open - 1) != Some(&b'"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    rest[open..].find(&close).map_or(rest.len(), |at| open + at + close.len())
}

/// `'x'` and `'\n'`; 0 for a lifetime.
fn character_len(rest: &str) -> usize {
    let mut inner = rest[1..].chars();
    let is_character = inner.next() == Some('\\') || inner.next() == Some('\'');
    if is_character { 1 + quoted_len(&rest[1..], '\'') } else { 0 }
}
