//! A sequence of scored ids that knows positions: a B+tree with counts.
//!
//! ```text
//! inner:  | first score and id of each child | how many are below each child | children |
//! leaf:   | up to 63 scores | up to 63 ids |
//! ```
//!
//! The order is the caller's: who puts an id in says at which position, and finds positions by a question that is true of all that
//! stand before the one sought, and false from there on. So the tree compares nothing, and its users need not say how ties are broken.
//! Finding a position, what stands at one, putting in and taking out are O(log n); a million ids are three steps deep.
//!
//! Leaves are split in half when they are full, but at the ends of the sequence, where ids that come in order would leave behind one
//! half-empty leaf after the other, the new id starts a leaf of its own.
//!
//! Invariants:
//! * All leaves are equally deep; no node is empty, but for the root of the empty tree.
//! * `scores[n]`, `ids[n]` of an inner node are the first in child `n`, `counts[n]` is how many are in it.

use std::iter::FusedIterator;

use smallvec::SmallVec;

use crate::prefetch::prefetch;
use crate::relocate::Mover;
use crate::size_class::usable;

/// A score and an id.
pub type Item = (f64, u32);

/// Items of a full leaf: with what else is in it, twelve cache lines.
const LEAF_MAX: usize = 63;

/// Scores in a cache line.
const LINE_SCORES: usize = 8;

/// Children of a full inner node.
const INNER_MAX: usize = 32;

/// Items in order of position.
#[derive(Clone, Debug)]
struct Leaf {
    len: u32,
    ids: [u32; LEAF_MAX],
    scores: [f64; LEAF_MAX],
}

const _: () = assert!(size_of::<Leaf>() == 12 * 64 - 8);

/// What is below, by position.
#[derive(Clone, Debug)]
struct Inner {
    len: u32,
    counts: [u32; INNER_MAX],
    ids: [u32; INNER_MAX],
    scores: [f64; INNER_MAX],
    children: SmallVec<[Node; INNER_MAX]>,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Box<Leaf>),
    Inner(Box<Inner>),
}

/// Whether a node stands at the left and at the right end of its level.
#[derive(Clone, Copy)]
struct Ends {
    left: bool,
    right: bool,
}

/// A sequence of scored ids.
#[derive(Clone, Debug)]
pub struct RankTree {
    root: Node,
    len: usize,
    nodes: Nodes,
}

/// How many nodes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Nodes {
    leaves: usize,
    inners: usize,
}

impl Default for RankTree {
    fn default() -> Self {
        Self::new()
    }
}

/// Puts an element into the first `len` of an array that has room.
#[inline]
fn put<T: Copy>(array: &mut [T], len: usize, at: usize, element: T) {
    array.copy_within(at..len, at + 1);
    array[at] = element;
}

/// Takes an element out of the first `len` of an array.
#[inline]
fn take<T: Copy>(array: &mut [T], len: usize, at: usize) {
    array.copy_within(at + 1..len, at);
}

impl Leaf {
    fn new() -> Box<Self> {
        Box::new(Self { len: 0, ids: [0; LEAF_MAX], scores: [0.0; LEAF_MAX] })
    }

    #[inline]
    const fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    fn get(&self, at: usize) -> Item {
        (self.scores[at], self.ids[at])
    }

    /// Asks for all lines of the scores: a search would ask for one when it has seen the one before.
    #[inline]
    fn prefetch(&self) {
        let scores: *const u8 = std::ptr::from_ref(&self.scores).cast();
        (0..LEAF_MAX).step_by(LINE_SCORES).for_each(|at| prefetch(scores.wrapping_add(at * 8)));
    }

    #[inline]
    fn partition_point(&self, is_before: &impl Fn(f64, u32) -> bool) -> usize {
        self.prefetch();
        partition_point(&self.scores[..self.len()], &self.ids[..self.len()], is_before)
    }

    fn insert(&mut self, at: usize, item: Item) {
        let len = self.len();
        put(&mut self.scores, len, at, item.0);
        put(&mut self.ids, len, at, item.1);
        self.len += 1;
    }

    fn remove(&mut self, at: usize) -> Item {
        let (len, item) = (self.len(), self.get(at));
        take(&mut self.scores, len, at);
        take(&mut self.ids, len, at);
        self.len -= 1;
        item
    }

    /// Takes everything from `at` on into a leaf of its own.
    fn split_off(&mut self, at: usize) -> Box<Self> {
        let (mut right, len) = (Self::new(), self.len());
        right.append(self, at..len);
        self.len = at as u32;
        right
    }

    /// Adds a part of another leaf.
    fn append(&mut self, other: &Self, part: std::ops::Range<usize>) {
        let (from, until) = (self.len(), self.len() + part.len());
        self.scores[from..until].copy_from_slice(&other.scores[part.clone()]);
        self.ids[from..until].copy_from_slice(&other.ids[part]);
        self.len = until as u32;
    }

    /// Moves items between neighbours so that both have about as many, or this one all if they fit.
    fn balance(&mut self, right: &mut Self) {
        let total = self.len() + right.len();
        let here = if total <= LEAF_MAX { total } else { total / 2 };
        if here >= self.len() {
            let moved = here - self.len();
            self.append(right, 0..moved);
            right.scores.copy_within(moved.., 0);
            right.ids.copy_within(moved.., 0);
            right.len -= moved as u32;
        } else {
            let mut tail = self.split_off(here);
            let len = right.len();
            tail.append(right, 0..len);
            *right = *tail;
        }
    }
}

/// How many at the front of the row `is_before` holds for.
#[inline]
fn partition_point(scores: &[f64], ids: &[u32], is_before: &impl Fn(f64, u32) -> bool) -> usize {
    let (mut low, mut len) = (0, scores.len().min(ids.len()));
    while len > 0 {
        let half = len / 2;
        let is_before = is_before(scores[low + half], ids[low + half]);
        low = if is_before { low + half + 1 } else { low };
        len = if is_before { len - half - 1 } else { half };
    }
    low
}

impl Inner {
    fn new() -> Box<Self> {
        Box::new(Self {
            len: 0,
            counts: [0; INNER_MAX],
            ids: [0; INNER_MAX],
            scores: [0.0; INNER_MAX],
            children: SmallVec::new(),
        })
    }

    #[inline]
    const fn len(&self) -> usize {
        self.len as usize
    }

    fn count(&self) -> usize {
        self.before(self.len())
    }

    /// How many items are below the first `children` children.
    #[inline]
    fn before(&self, children: usize) -> usize {
        self.counts[..children].iter().map(|count| *count as usize).sum()
    }

    /// The child that has the item at `position`, and the position in it. One behind the last belongs to the last child.
    #[inline]
    fn child_of(&self, mut position: usize) -> (usize, usize) {
        for (at, count) in self.counts[..self.len()].iter().enumerate() {
            let count = *count as usize;
            if position < count || at + 1 == self.len() {
                return (at, position);
            }
            position -= count;
        }
        unreachable!("an inner node has children")
    }

    fn insert(&mut self, at: usize, child: Node) {
        let (len, (score, id)) = (self.len(), child.first());
        put(&mut self.scores, len, at, score);
        put(&mut self.ids, len, at, id);
        put(&mut self.counts, len, at, child.count() as u32);
        self.children.insert(at, child);
        self.len += 1;
    }

    fn remove(&mut self, at: usize) -> Node {
        let len = self.len();
        take(&mut self.scores, len, at);
        take(&mut self.ids, len, at);
        take(&mut self.counts, len, at);
        self.len -= 1;
        self.children.remove(at)
    }

    /// Looks at a child again whose items have changed.
    fn refresh(&mut self, at: usize) {
        let child = &self.children[at];
        self.counts[at] = child.count() as u32;
        (self.scores[at], self.ids[at]) = child.first();
    }

    fn split_off(&mut self, at: usize) -> Box<Self> {
        let mut right = Self::new();
        while self.len() > at {
            let child = self.remove(self.len() - 1);
            right.insert(0, child);
        }
        right
    }

    /// As [`Leaf::balance`].
    fn balance(&mut self, right: &mut Self) {
        let total = self.len() + right.len();
        let here = if total <= INNER_MAX { total } else { total / 2 };
        while self.len() < here {
            self.insert(self.len(), right.remove(0));
        }
        while self.len() > here {
            let child = self.remove(self.len() - 1);
            right.insert(0, child);
        }
    }

    /// Gives a child that has become small something of its neighbour, or all of it. Says whether a child went.
    #[cold]
    fn mend(&mut self, at: usize) -> bool {
        if self.len() < 2 {
            return false;
        }
        let left = at.saturating_sub(1);
        let (before, behind) = self.children.split_at_mut(left + 1);
        match (&mut before[left], &mut behind[0]) {
            (Node::Leaf(left), Node::Leaf(right)) => left.balance(right),
            (Node::Inner(left), Node::Inner(right)) => left.balance(right),
            _ => unreachable!("all leaves are equally deep"),
        }
        self.refresh(left);
        let is_merged = self.children[left + 1].is_empty();
        if is_merged {
            self.remove(left + 1);
        } else {
            self.refresh(left + 1);
        }
        is_merged
    }
}

impl Node {
    /// Moves the leaf with the item at `position`, and the nodes above it of which it is the first. Answers how many items there are from
    /// `position` to the end of the leaf.
    fn relocate(&mut self, mover: &mut Mover, position: usize) -> usize {
        match self {
            Self::Leaf(leaf) => {
                if mover.wants(std::ptr::from_ref(&**leaf).cast(), size_of::<Leaf>()) {
                    *leaf = leaf.clone();
                }
                (leaf.len() - position).max(1)
            }
            Self::Inner(inner) => {
                if position == 0 {
                    mover.boxed(inner, || *Inner::new());
                }
                let (child, within) = inner.child_of(position);
                inner.children[child].relocate(mover, within)
            }
        }
    }

    fn first(&self) -> Item {
        match self {
            Self::Leaf(leaf) => leaf.get(0),
            Self::Inner(inner) => (inner.scores[0], inner.ids[0]),
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len(),
            Self::Inner(inner) => inner.count(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.len == 0,
            Self::Inner(inner) => inner.len == 0,
        }
    }

    /// Whether a node has so little that it should be joined with a neighbour.
    fn is_small(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.len() < LEAF_MAX / 4,
            Self::Inner(inner) => inner.len() < INNER_MAX / 4,
        }
    }
}

impl RankTree {
    /// The empty sequence.
    pub fn new() -> Self {
        Self { root: Node::Leaf(Leaf::new()), len: 0, nodes: Nodes { leaves: 1, inners: 0 } }
    }

    /// How many items there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes on the heap.
    pub const fn heap_bytes(&self) -> usize {
        self.nodes.leaves * usable(size_of::<Leaf>())
            + self.nodes.inners * usable(size_of::<Inner>())
    }

    /// Moves the nodes, from the one with the item at `from` on until spent. Answers the position to go on from, zero if that was all.
    pub(crate) fn relocate(&mut self, mover: &mut Mover, from: u64) -> u64 {
        let mut position = from as usize;
        while position < self.len {
            position += self.root.relocate(mover, position);
            if mover.is_spent() && position < self.len {
                return position as u64;
            }
        }
        0
    }

    /// Number of allocations.
    pub const fn allocations(&self) -> usize {
        self.nodes.leaves + self.nodes.inners
    }

    /// How many items `is_before` holds for; it holds for none behind one that it does not hold for.
    #[inline]
    pub fn partition_point(&self, is_before: impl Fn(f64, u32) -> bool) -> usize {
        let (mut node, mut position) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(leaf) => return position + leaf.partition_point(&is_before),
                Node::Inner(inner) => {
                    let len = inner.len();
                    let (scores, ids) = (&inner.scores[..len], &inner.ids[..len]);
                    // What is sought stands in the last child that begins before it, or right behind.
                    let behind = partition_point(scores, ids, &is_before);
                    let Some(child) = behind.checked_sub(1) else { return position };
                    position += inner.before(child);
                    node = &inner.children[child];
                }
            }
        }
    }

    /// The item at a position.
    #[inline]
    pub fn get(&self, position: usize) -> Option<Item> {
        if position >= self.len {
            return None;
        }
        let (leaf, at) = self.leaf_of(position);
        Some(leaf.get(at))
    }

    /// The leaf with the item at a position, which is there, and where it stands in it.
    #[inline]
    fn leaf_of(&self, mut position: usize) -> (&Leaf, usize) {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(leaf) => return (leaf, position),
                Node::Inner(inner) => {
                    let (child, within) = inner.child_of(position);
                    (node, position) = (&inner.children[child], within);
                }
            }
        }
    }

    /// Puts an item at a position, before what stands there; at most behind the last.
    pub fn insert(&mut self, position: usize, item: Item) {
        assert!(position <= self.len);
        let ends = Ends { left: true, right: true };
        self.len += 1;
        let Some(sibling) = insert(&mut self.root, position, item, ends, &mut self.nodes) else {
            return;
        };
        self.nodes.inners += 1;
        let left = std::mem::replace(&mut self.root, Node::Inner(Inner::new()));
        let Node::Inner(root) = &mut self.root else { unreachable!("just put there") };
        root.insert(0, left);
        root.insert(1, sibling);
    }

    /// Puts another item in the place of the one at a position, which is there.
    pub fn set(&mut self, position: usize, item: Item) {
        assert!(position < self.len);
        set(&mut self.root, position, item);
    }

    /// Takes out the item at a position, which is there.
    pub fn remove(&mut self, position: usize) -> Item {
        assert!(position < self.len);
        let item = remove(&mut self.root, position, &mut self.nodes);
        self.len -= 1;
        while let Node::Inner(root) = &mut self.root
            && root.len == 1
        {
            let only = root.remove(0);
            self.root = only;
            self.nodes.inners -= 1;
        }
        item
    }

    /// The items from one position to before another.
    pub fn range(&self, from: usize, until: usize) -> Range<'_> {
        let until = until.min(self.len);
        Range { tree: self, from: from.min(until), until, front: None, back: None }
    }
}

/// Puts an item in. What did not fit any more comes back: the right sibling.
fn insert(
    node: &mut Node,
    position: usize,
    item: Item,
    ends: Ends,
    nodes: &mut Nodes,
) -> Option<Node> {
    match node {
        Node::Leaf(leaf) => insert_into_leaf(leaf, position, item, ends, nodes),
        Node::Inner(inner) => insert_below(inner, position, item, ends, nodes),
    }
}

fn insert_into_leaf(
    leaf: &mut Leaf,
    at: usize,
    item: Item,
    ends: Ends,
    nodes: &mut Nodes,
) -> Option<Node> {
    if leaf.len() < LEAF_MAX {
        leaf.insert(at, item);
        return None;
    }
    let middle = match at {
        LEAF_MAX if ends.right => LEAF_MAX,
        0 if ends.left => 0,
        _ => LEAF_MAX / 2,
    };
    let mut right = leaf.split_off(middle);
    if at > middle || middle == LEAF_MAX {
        right.insert(at - middle, item);
    } else {
        leaf.insert(at, item);
    }
    nodes.leaves += 1;
    Some(Node::Leaf(right))
}

fn insert_below(
    inner: &mut Inner,
    position: usize,
    item: Item,
    ends: Ends,
    nodes: &mut Nodes,
) -> Option<Node> {
    let (mut child, mut within) = inner.child_of(position);
    if within == 0 && child > 0 {
        // Behind the last of the child before: so the first item of no child but the very first changes.
        child -= 1;
        within = inner.counts[child] as usize;
    }
    let below =
        Ends { left: ends.left && child == 0, right: ends.right && child + 1 == inner.len() };
    let Some(sibling) = insert(&mut inner.children[child], within, item, below, nodes) else {
        inner.counts[child] += 1;
        if position == 0 {
            (inner.scores[0], inner.ids[0]) = item;
        }
        return None;
    };
    inner.refresh(child);
    add_child(inner, child + 1, sibling, ends, nodes)
}

fn add_child(
    inner: &mut Inner,
    at: usize,
    child: Node,
    ends: Ends,
    nodes: &mut Nodes,
) -> Option<Node> {
    if inner.len() < INNER_MAX {
        inner.insert(at, child);
        return None;
    }
    let middle = match at {
        INNER_MAX if ends.right => INNER_MAX,
        1 if ends.left => 1,
        _ => INNER_MAX / 2,
    };
    let mut right = inner.split_off(middle);
    if at > middle || middle == INNER_MAX {
        right.insert(at - middle, child);
    } else {
        inner.insert(at, child);
    }
    nodes.inners += 1;
    Some(Node::Inner(right))
}

fn set(node: &mut Node, position: usize, item: Item) {
    match node {
        Node::Leaf(leaf) => (leaf.scores[position], leaf.ids[position]) = item,
        Node::Inner(inner) => {
            let (child, within) = inner.child_of(position);
            set(&mut inner.children[child], within, item);
            if within == 0 {
                (inner.scores[child], inner.ids[child]) = item;
            }
        }
    }
}

fn remove(node: &mut Node, position: usize, nodes: &mut Nodes) -> Item {
    let inner = match node {
        Node::Leaf(leaf) => return leaf.remove(position),
        Node::Inner(inner) => inner,
    };
    let (child, within) = inner.child_of(position);
    let item = remove(&mut inner.children[child], within, nodes);
    inner.counts[child] -= 1;
    let below = &inner.children[child];
    let (is_small, is_leaf) = (below.is_small(), matches!(below, Node::Leaf(_)));
    if within == 0 && !below.is_empty() {
        (inner.scores[child], inner.ids[child]) = below.first();
    }
    if is_small && inner.mend(child) {
        let gone = if is_leaf { &mut nodes.leaves } else { &mut nodes.inners };
        *gone -= 1;
    }
    item
}

/// Items from one position to before another, from either end.
#[derive(Clone, Debug)]
pub struct Range<'a> {
    tree: &'a RankTree,
    from: usize,
    until: usize,
    /// The leaf of the next item, and where it stands there.
    front: Option<(&'a Leaf, usize)>,
    /// The leaf of the last item, and where it stands there.
    back: Option<(&'a Leaf, usize)>,
}

impl Iterator for Range<'_> {
    type Item = Item;

    #[inline]
    fn next(&mut self) -> Option<Item> {
        if self.from >= self.until {
            return None;
        }
        let (leaf, at) = self.front.unwrap_or_else(|| self.tree.leaf_of(self.from));
        self.front = (at + 1 < leaf.len()).then_some((leaf, at + 1));
        self.from += 1;
        Some(leaf.get(at))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.until - self.from;
        (left, Some(left))
    }
}

impl DoubleEndedIterator for Range<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Item> {
        if self.from >= self.until {
            return None;
        }
        self.until -= 1;
        let (leaf, at) = self.back.unwrap_or_else(|| self.tree.leaf_of(self.until));
        self.back = at.checked_sub(1).map(|before| (leaf, before));
        Some(leaf.get(at))
    }
}

impl ExactSizeIterator for Range<'_> {}

impl FusedIterator for Range<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Everything the head of this file promises. Answers depth, leaves and inner nodes.
    fn check_node(node: &Node, is_root: bool) -> (usize, usize, usize) {
        let Node::Inner(inner) = node else {
            assert!(is_root || !node.is_empty());
            return (0, 1, 0);
        };
        assert_eq!(inner.len(), inner.children.len());
        assert!(!is_root || inner.len() > 1);
        assert!(!inner.children.spilled());
        let (mut depths, mut leaves, mut inners) = (Vec::new(), 0, 1);
        for (n, child) in inner.children.iter().enumerate() {
            assert_eq!(inner.counts[n] as usize, child.count());
            assert_eq!((inner.scores[n], inner.ids[n]), child.first());
            let (depth, below, inner_below) = check_node(child, false);
            depths.push(depth);
            leaves += below;
            inners += inner_below;
        }
        depths.dedup();
        assert_eq!(depths.len(), 1, "all leaves are equally deep");
        (depths[0] + 1, leaves, inners)
    }

    fn check(tree: &RankTree, twin: &[Item]) {
        let (_, leaves, inners) = check_node(&tree.root, true);
        assert_eq!(tree.nodes, Nodes { leaves, inners });
        assert_eq!(tree.len(), twin.len());
        assert!(tree.range(0, twin.len()).eq(twin.iter().copied()));
        assert!(tree.range(0, twin.len()).rev().eq(twin.iter().rev().copied()));
    }

    #[test]
    fn ids_that_come_in_order_fill_the_leaves() {
        for is_descending in [false, true] {
            let mut tree = RankTree::new();
            for n in 0..100_000_u32 {
                let at = if is_descending { 0 } else { tree.len() };
                tree.insert(at, (f64::from(n), n));
            }
            assert_eq!(tree.nodes.leaves, 100_000_usize.div_ceil(LEAF_MAX));
            check_node(&tree.root, true);
        }
    }

    #[test]
    fn ids_that_come_in_no_order_take_seventeen_bytes() {
        let (mut tree, mut dice) = (RankTree::new(), crate::random::Random::new(7));
        for n in 0..100_000_u32 {
            let at = dice.below(u64::from(n) + 1) as usize;
            tree.insert(at, (f64::from(n), n));
        }
        assert!(tree.heap_bytes() < 100_000 * 20, "{}", tree.heap_bytes());
        check_node(&tree.root, true);
        while !tree.is_empty() {
            tree.remove(dice.below(tree.len() as u64) as usize);
        }
        assert_eq!(tree.nodes, Nodes { leaves: 1, inners: 0 });
    }

    #[test]
    fn positions_are_found_by_what_stands_before() {
        let mut tree = RankTree::new();
        (0..10_000_u32).for_each(|n| tree.insert(n as usize, (f64::from(n / 4), n)));
        for n in (0..10_000).step_by(37) {
            assert_eq!(tree.partition_point(|_, id| id < n), n as usize);
            assert_eq!(
                tree.partition_point(|score, _| score < f64::from(n / 4)),
                n as usize / 4 * 4
            );
            assert_eq!(tree.get(n as usize), Some((f64::from(n / 4), n)));
        }
        assert_eq!(tree.partition_point(|_, _| true), 10_000);
        assert_eq!(tree.get(10_000), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn agrees_with_a_vec(
            runs in proptest::collection::vec((any::<u32>(), 0usize..400, 0u8..5), 0..30)
        ) {
            let (mut tree, mut twin) = (RankTree::new(), Vec::new());
            for (n, times, what) in runs {
                for step in 0..times {
                    let place = (n as usize).wrapping_mul(step + 1) % (twin.len() + 1);
                    let item = (f64::from(n), step as u32);
                    match what {
                        0 => (tree.insert(place, item), twin.insert(place, item)).0,
                        1 => (tree.insert(twin.len(), item), twin.push(item)).0,
                        2 if place < twin.len() => {
                            tree.set(place, item);
                            twin[place] = item;
                        }
                        3 if place < twin.len() => assert_eq!(tree.remove(place), twin.remove(place)),
                        4 if !twin.is_empty() => assert_eq!(tree.remove(0), twin.remove(0)),
                        _ => {}
                    }
                }
                check(&tree, &twin);
            }
        }
    }
}
