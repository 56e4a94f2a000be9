//! Libraries of functions: loading, packing and unpacking them.
//!
//! A library's payload is what a dump file holds for it: an opcode and its text. FUNCTION DUMP puts all of them behind each other, with
//! a version and a checksum at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use russet_dispatch::State;
use russet_dispatch::scripting::{Function, Libraries, Library, Manners};
use russet_rdb::Source;
use russet_rdb::primitives::{crc64, write_string};

use crate::registering::Registered;
use crate::{raised, shebang, vm};

/// What stands before the text of a library in a dump file.
pub const OPCODE: u8 = 245;

/// The same in releases that never became final.
const OPCODE_BEFORE: u8 = 246;

/// The version of the format that FUNCTION DUMP writes: the oldest that Redis 7.0 and all later ones read.
const VERSION: u16 = 10;

/// Versions that FUNCTION RESTORE reads: Redis' and Valkey's.
const VERSION_MAX: u16 = 12;
const VERSION_VALKEY: u16 = 80;

/// What to do about libraries that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Remove all others.
    Flush,
    /// Refuse those of the same name.
    Append,
    /// Replace those of the same name.
    Replace,
}

/// A library that has been loaded into this thread's interpreter.
struct Loaded {
    library: Arc<Library>,
    registered: Vec<Registered>,
}

/// Compiles a library and lets it register its functions. `is_timed` if it may not take long.
fn load(state: &'static State, code: &[u8], is_timed: bool) -> Result<Loaded, String> {
    let name = shebang::of_library(code)?;
    let vm = vm::get(state).map_err(|error| raised::foreign(&error))?;
    let registered = vm.load(code, is_timed)?;
    if registered.is_empty() {
        return Err("No functions registered".to_owned());
    }
    let function = |one: &Registered| {
        let function = Function {
            name: one.name.clone(),
            description: one.description.clone(),
            flags: one.flags,
            manners: Manners::default(),
        };
        (one.name.clone(), Arc::new(function))
    };
    let functions: BTreeMap<_, _> = registered.iter().map(function).collect();
    let library =
        Library { id: state.scripts.next_library_id(), name, code: code.into(), functions };
    Ok(Loaded { library: Arc::new(library), registered })
}

/// Adds a library to others. The error names what is there already.
fn join(libraries: &mut Libraries, library: &Arc<Library>, replaces: bool) -> Result<(), String> {
    if libraries.contains_key(&library.name) && !replaces {
        return Err(format!("Library '{}' already exists", library.name));
    }
    let others = libraries.values().filter(|other| other.name != library.name);
    let taken = others
        .flat_map(|other| other.functions.keys())
        .find(|name| library.functions.keys().any(|own| own.eq_ignore_ascii_case(name)));
    if let Some(name) = taken {
        return Err(format!("Function {name} already exists"));
    }
    libraries.insert(library.name.clone(), Arc::clone(library));
    Ok(())
}

/// Keeps what this thread has compiled of libraries.
fn keep(state: &'static State, all: &[Loaded]) {
    if let Ok(vm) = vm::get(state) {
        for one in all {
            if vm.keep_library(&one.library, &one.registered).is_err() {
                vm::discard();
            }
        }
    }
}

/// Loads a library and forgets it: for how long it runs is known then.
///
/// # Errors
///
/// A text for the client, without a code.
pub fn attempt(state: &'static State, code: &[u8], replaces: bool) -> Result<(), String> {
    let name = shebang::of_library(code)?;
    if state.scripts.libraries().contains_key(&name) && !replaces {
        return Err(format!("Library '{name}' already exists"));
    }
    load(state, code, true).map(drop)
}

/// FUNCTION LOAD: answers the library's name. `is_timed` if it comes from a client.
///
/// # Errors
///
/// A text for the client, without a code.
pub fn add(
    state: &'static State,
    code: &[u8],
    replaces: bool,
    is_timed: bool,
) -> Result<String, String> {
    let _changing = state.scripts.library_change.lock();
    let mut libraries = Libraries::clone(&state.scripts.libraries());
    let name = shebang::of_library(code)?;
    if libraries.contains_key(&name) && !replaces {
        return Err(format!("Library '{name}' already exists"));
    }
    let loaded = load(state, code, is_timed)?;
    join(&mut libraries, &loaded.library, replaces)?;
    state.scripts.set_libraries(libraries);
    keep(state, &[loaded]);
    Ok(name)
}

/// FUNCTION DELETE: says whether there was such a library.
pub fn remove(state: &State, name: &str) -> bool {
    let _changing = state.scripts.library_change.lock();
    let mut libraries = Libraries::clone(&state.scripts.libraries());
    let removed = libraries.remove(name).is_some();
    state.scripts.set_libraries(libraries);
    removed
}

/// FUNCTION FLUSH.
pub fn clear(state: &State) {
    let _changing = state.scripts.library_change.lock();
    state.scripts.set_libraries(Libraries::new());
}

/// All libraries as a dump file holds them, without head and end.
pub fn sections(state: &State) -> Vec<u8> {
    let mut out = Vec::new();
    for library in state.scripts.libraries().values() {
        out.push(OPCODE);
        write_string(&mut out, &library.code);
    }
    out
}

/// FUNCTION DUMP.
pub fn dump(state: &State) -> Vec<u8> {
    let mut out = sections(state);
    out.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = crc64(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Loads the libraries of a payload and forgets them.
///
/// # Errors
///
/// A text for the client, without a code.
pub fn attempt_restore(state: &'static State, payload: &[u8]) -> Result<(), String> {
    unpack(state, payload).map(drop)
}

/// FUNCTION RESTORE: all libraries of the payload or none.
///
/// # Errors
///
/// A text for the client, without a code.
pub fn restore(state: &'static State, payload: &[u8], policy: Policy) -> Result<(), String> {
    let (restored, all) = unpack(state, payload)?;
    let _changing = state.scripts.library_change.lock();
    let mut libraries = match policy {
        Policy::Flush => Libraries::new(),
        Policy::Append | Policy::Replace => Libraries::clone(&state.scripts.libraries()),
    };
    for name in restored.keys() {
        if libraries.remove(name).is_some() && policy == Policy::Append {
            return Err(format!("Library {name} already exists"));
        }
    }
    for library in restored.values() {
        join(&mut libraries, library, false)?;
    }
    state.scripts.set_libraries(libraries);
    keep(state, &all);
    Ok(())
}

/// Loads all libraries of a payload.
fn unpack(state: &'static State, payload: &[u8]) -> Result<(Libraries, Vec<Loaded>), String> {
    let sections = verified(payload).ok_or("DUMP payload version or checksum are wrong")?;
    let (mut restored, mut all) = (Libraries::new(), Vec::new());
    let mut source = Source::new(sections);
    while source.left() > 0 {
        let loaded = next(state, &mut source)?;
        join(&mut restored, &loaded.library, false)?;
        all.push(loaded);
    }
    Ok((restored, all))
}

/// What stands before version and checksum, if both are right.
fn verified(payload: &[u8]) -> Option<&[u8]> {
    let (checked, checksum) = payload.split_last_chunk::<8>()?;
    let (sections, version) = checked.split_last_chunk::<2>()?;
    let version = u16::from_le_bytes(*version);
    let is_known = version <= VERSION_MAX || version == VERSION_VALKEY;
    (is_known && crc64(checked) == u64::from_le_bytes(*checksum)).then_some(sections)
}

fn next(state: &'static State, source: &mut Source<'_>) -> Result<Loaded, String> {
    let failed = "failed loading the given functions payload";
    match source.array::<1>().map_err(|_| "can not read data type")?[0] {
        OPCODE => {}
        OPCODE_BEFORE => return Err("Pre-GA function format not supported".to_owned()),
        _ => return Err("given type is not a function".to_owned()),
    }
    let code = source.text().map_err(|_| failed)?;
    load(state, &code, true)
}
