//! Room behind the append-only file under `always`: whatever is written, what is there is a file that anybody can read and add to.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use russet_persist::check::check_all;
use russet_persist::vfs::Vfs;
use russet_server::Handle;
use russet_testkit::disk::{Call, Disk};
use russet_testkit::{Client, Random};

use crate::durability::aof::{await_rewritten, on};
use crate::durability::snapshot::{figure, ok, run, until};

/// More than a room has.
const LONG: usize = 300 << 10;

const ENOSPC: i32 = 28;

/// Room is there for a second after the last write, so within this it is.
const QUICK: Duration = Duration::from_millis(500);

/// The first one.
const FIRST: &str = "/data/appendonlydir/appendonly.aof.1.incr.aof";

/// A server that syncs always, and its disk.
fn always() -> (Disk, Handle, Client) {
    let disk = Disk::new();
    let (handle, client) = on(&disk, &["--appendfsync", "always"]);
    (disk, handle, client)
}

/// The increment that is written, and what it has.
fn increment(disk: &Disk) -> Vec<u8> {
    let names = disk.list(Path::new("/data/appendonlydir")).expect("a directory");
    let last =
        names.into_iter().filter(|name| name.extension().is_some_and(|it| it == "aof")).max();
    disk.read(&Path::new("/data/appendonlydir").join(last.expect("an increment"))).expect("a file")
}

/// Bytes of the note that a file ends with if it is one of nothing but `#`. Fails if there is half of one.
pub(super) fn room(bytes: &[u8]) -> usize {
    let end = bytes.iter().rposition(|byte| !b"#\r\n".contains(byte)).expect("a file") + 1;
    let behind = &bytes[end..];
    assert!(behind.starts_with(b"\r\n"), "the last block has an end");
    let note = &behind[2..];
    assert!(note.is_empty() || note.strip_suffix(b"\r\n").is_some_and(is_marks), "{note:?}");
    note.len()
}

fn is_marks(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| *byte == b'#')
}

fn set(client: &mut Client, len: usize) {
    assert_eq!(client.cmd(&["SET", "k", &"v".repeat(len)]).to_string(), "OK");
}

/// Writes until there is room, which only those have who write much at a time. Answers how much.
fn hurry(client: &mut Client, disk: &Disk) -> usize {
    until("there is room", || {
        set(client, 10);
        room(&increment(disk)) > 0
    });
    room(&increment(disk))
}

fn check(disk: &Disk) -> String {
    let (mut said, path) = (String::new(), PathBuf::from("/data/appendonlydir"));
    check_all(disk, &path, false, &mut |_, what| said += &what.to_string()).expect("it is whole");
    said
}

#[test]
fn room_or_none_is_behind_whatever_is_written() {
    let (disk, handle, mut client) = always();
    let mut random = Random::new(1);
    let mut rooms = Vec::new();
    for _ in 0..400 {
        let len = match random.below(8) {
            0 => LONG,
            // About as much as is left, so that every way to fill it is met.
            1 | 2 => rooms
                .last()
                .map_or(1, |room: &usize| room.saturating_sub(200) + random.below(200) as usize),
            _ => random.below(2000) as usize,
        };
        set(&mut client, len);
        rooms.push(room(&increment(&disk)));
    }
    assert!(rooms.contains(&0) && rooms.iter().any(|room| *room > 0), "{rooms:?}");
    assert!(rooms.iter().any(|room| (3..60).contains(room)), "it was never nearly full: {rooms:?}");
    until("it is told that there is room", || {
        set(&mut client, 1);
        check(&disk.kill()).contains("room for further blocks: ")
    });
    // Whoever goes on behind it has none left over, and an end in order leaves none.
    let (other, mut client) = on(&disk.kill(), &["--appendfsync", "everysec"]);
    assert_eq!(run(&mut client, "GET k"), "v");
    drop((client, other));
    handle.stop();
    assert_eq!(room(&increment(&disk)), 0);
    assert!(!check(&disk).contains("room"));
}

/// Fills the room but for so many bytes. Answers how many are left.
fn fill(client: &mut Client, disk: &Disk, left: usize) -> Option<usize> {
    const LEN: usize = 9000;
    hurry(client, disk);
    // From here on all positions have as many digits, and so have all lines of blocks.
    (0..12).for_each(|_| set(client, LEN));
    let before = room(&increment(disk));
    set(client, LEN);
    let mut now = room(&increment(disk));
    let more = before.checked_sub(now + LEN)?;
    while now > 2 * LEN {
        set(client, LEN);
        now = room(&increment(disk));
    }
    let mut last = now.checked_sub(more + left)?;
    if last > 9900 {
        set(client, 8000);
        last -= 8000 + more;
    }
    set(client, last);
    Some(room(&increment(disk)))
}

#[test]
fn no_half_of_a_note_is_left_where_a_block_fills_the_room() {
    for left in 0..6 {
        until("it is quick enough", || {
            let (disk, _handle, mut client) = always();
            let began = Instant::now();
            let now = fill(&mut client, &disk, left);
            if began.elapsed() > QUICK {
                return false;
            }
            let now = now.expect("there was room");
            assert!(now == left || now > LONG / 2, "{now} are left of {left}");
            assert!(now != left || left > 2, "a note has three bytes");
            set(&mut client, 1);
            check(&disk.kill());
            true
        });
    }
}

#[test]
fn what_nobody_writes_to_has_no_room() {
    let (disk, _handle, mut client) = always();
    hurry(&mut client, &disk);
    until("it is given back", || room(&increment(&disk)) == 0);
    // Who writes now and then has none either.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(150));
        set(&mut client, 10);
        assert_eq!(room(&increment(&disk)), 0);
    }
}

#[test]
fn a_policy_that_needs_no_room_uses_up_what_there_is() {
    let (disk, _handle, mut client) = always();
    let before = hurry(&mut client, &disk);
    ok(&mut client, "CONFIG SET appendfsync everysec");
    until("the policy is another", || {
        set(&mut client, 1000);
        room(&increment(&disk)) < before
    });
    for _ in 0..=before / 1000 {
        set(&mut client, 1000);
    }
    assert_eq!(room(&increment(&disk)), 0);
    assert!(!check(&disk).contains("room"));
}

#[test]
fn a_file_that_a_rewrite_leaves_has_no_room() {
    let (disk, _handle, mut client) = always();
    ok(&mut client, "CONFIG SET aof-disable-auto-gc yes");
    hurry(&mut client, &disk);
    run(&mut client, "BGREWRITEAOF");
    await_rewritten(&mut client);
    assert_eq!(room(&disk.read(Path::new(FIRST)).expect("it is kept")), 0);
    hurry(&mut client, &disk);
    let told: usize = figure(&mut client, "aof_current_size").parse().expect("a number");
    assert!(told < 100_000, "room is told as if it were data: {told}");
}

#[test]
fn a_disk_too_full_for_room_takes_what_fits() {
    until("it is quick enough", || {
        let (disk, _handle, mut client) = always();
        for _ in 0..20 {
            set(&mut client, 10);
        }
        // There is no room behind what is longer. So the first thing that is written next is room.
        set(&mut client, LONG);
        disk.fail(Call::Write, 0, ENOSPC, false);
        if client.cmd(&["SET", "k", "v"]).to_string() != "OK" {
            // It came too late to have room, and failed itself.
            return false;
        }
        for _ in 0..3 {
            set(&mut client, 10);
            assert_eq!(room(&increment(&disk)), 0);
        }
        assert!(check(&disk.kill()).contains("25 set"));
        true
    });
}

/// What others wrote behind the room was cut off with it, or their first command was read as its end.
#[test]
fn commands_of_others_behind_room_are_read() {
    let (disk, handle, mut client) = always();
    hurry(&mut client, &disk);
    let left = disk.kill();
    handle.stop();
    let theirs = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$2\r\nby\r\n$4\r\nthem\r\n";
    left.append(Path::new(FIRST))
        .and_then(|mut file| file.write_all(theirs))
        .expect("it is written");
    let (_other, mut client) = on(&left, &["--appendfsync", "always"]);
    assert_eq!(run(&mut client, "MGET k by"), "[vvvvvvvvvv, them]");
    ok(&mut client, "SET by us");
    let (_last, mut client) = on(&left.kill(), &[]);
    assert_eq!(run(&mut client, "MGET k by"), "[vvvvvvvvvv, us]");
}
