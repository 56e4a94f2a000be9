//! Reading logs: whatever the bytes, a log is read to its end or refused at a place; what is cut off is kept, and what is left is whole.
//!
//! The first byte says whether the bytes are a file, or the blocks of one: then each gets a line with a right checksum, which no other
//! input would come by, there may be room behind them, and commands without a block behind that. The second one says how many bytes of that
//! are flipped afterwards.

#![no_main]

use std::fmt::Write;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use russet_persist::check::check_all;
use russet_persist::vfs::Vfs;
use russet_rdb::primitives::crc64;
use russet_testkit::disk::Disk;

fuzz_target!(|data: &[u8]| {
    let &[how, flips, ref bytes @ ..] = data else { return };
    let whole = if how & 1 == 1 { blocks(how, flips, bytes) } else { bytes.to_vec() };
    let (disk, path) = (Disk::new(), Path::new("/a.incr.aof"));
    disk.replace(path, &whole).expect("a disk that never fails");
    let mut say = |_: &Path, what: &dyn std::fmt::Display| drop(what.to_string());
    let read = check_all(&disk, path, false, &mut say);
    assert_eq!(disk.read(path).expect("it is there"), whole, "looking changes nothing");
    if check_all(&disk, path, true, &mut say).is_err() {
        // A snapshot that makes no sense is not cut.
        return;
    }
    let left = disk.read(path).expect("it is there");
    assert!(check_all(&disk, path, false, &mut say).is_ok(), "what is left is whole");
    if read.is_ok() {
        assert_eq!(left, whole, "nothing else is cut");
        return;
    }
    let names = disk.list(Path::new("/")).expect("a directory");
    let place = |name: &str| name.strip_prefix("a.incr.aof.cut-")?.parse::<usize>().ok();
    let cut = names.iter().find_map(|name| place(name.to_str()?)).expect("what is cut is kept");
    let aside = format!("/a.incr.aof.cut-{cut}");
    assert_eq!(disk.read(Path::new(&aside)).expect("it is there"), whole[cut..]);
    let same = left.iter().zip(&whole).take_while(|(a, b)| a == b).count();
    let others = left[same..].split_inclusive(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len);
    let contents = &left[same + others..];
    assert!(same == cut || whole[..cut].ends_with(contents), "what is whole stays");
});

/// Bytes in blocks, each behind its line; some of the result is flipped.
fn blocks(how: u8, flips: u8, bytes: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    for block in bytes.split(|byte| *byte == b'~') {
        let durable = if how & 2 == 0 { 0 } else { file.len() };
        let (len, checksum) = (block.len(), crc64(block));
        let mut line = format!("#BLOCK:v1;len:{len};crc64:{checksum:016x};durable:{durable};head:");
        let head = crc64(line.as_bytes()) >> 32;
        write!(line, "{head:08x}\r\n").expect("a string takes all");
        file.extend_from_slice(line.as_bytes());
        file.extend_from_slice(block);
    }
    if how & 4 != 0 {
        file.resize(file.len() + 1 + usize::from(flips % 32), b'#');
        file.extend_from_slice(b"\r\n");
    }
    if how & 8 != 0 {
        file.extend(bytes.rsplit(|byte| *byte == b'~').next().unwrap_or_default());
    }
    for nth in 0..usize::from(flips >> 5) {
        let at = (usize::from(flips) * 31 + nth * 97) % file.len();
        file[at] ^= 1 << (nth % 8);
    }
    file
}
