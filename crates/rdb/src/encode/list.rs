//! Lists: listpacks of up to 8 KB.

use russet_engine::collections::listpack::Listpack;
use russet_engine::types::list::List;

use crate::kind;
use crate::primitives::Sink;

/// What a listpack of several elements may take.
const NODE_BYTES_MAX: usize = 8192;

/// What a listpack's entry takes beside its bytes, at most.
const ENTRY_MAX: usize = 10;

/// In the bytes before a node: it is an element by itself.
const PLAIN: u64 = 1;

/// In the bytes before a node: it is a listpack.
const PACKED: u64 = 2;

/// Writes a list.
pub(super) fn write(list: &List, sink: &mut Sink<'_>) {
    let mut count = 0_u64;
    each_node(list, |_| count = count.saturating_add(1));
    sink.kind(kind::LIST_LISTPACKS);
    sink.length(count);
    each_node(list, |node| match node {
        Node::Plain(element) => {
            sink.length(PLAIN);
            sink.string(element);
        }
        Node::Packed(listpack) => {
            sink.length(PACKED);
            sink.string(listpack.as_bytes());
        }
    });
}

/// A part of a list.
enum Node<'a> {
    Plain(&'a [u8]),
    Packed(&'a Listpack),
}

/// Shows a list in parts. They are made one by one, so that no second list stands beside the first.
fn each_node(list: &List, mut show: impl FnMut(Node<'_>)) {
    let mut node = Listpack::new();
    let flush = |node: &mut Listpack, show: &mut dyn FnMut(Node<'_>)| {
        if !node.is_empty() {
            show(Node::Packed(node));
            node.clear();
        }
    };
    for element in list {
        let size = element.len().saturating_add(ENTRY_MAX);
        if node.as_bytes().len().saturating_add(size) > NODE_BYTES_MAX {
            flush(&mut node, &mut show);
        }
        if node.has_room(size) {
            node.push_back(element);
        } else {
            show(Node::Plain(element));
        }
    }
    flush(&mut node, &mut show);
}
