//! Pending timeouts: what is due next, and what its owner wants cancelled.
//!
//! There are two lanes, one that counts in ticks and one with a finer unit. Each keeps a list for every unit
//! in which something is due, and a list is handed out in the order it was filled. Units that are near have
//! their lists in a ring, which a bitmap makes searchable; those that are far away have them in a tree. What
//! was put into the tree stays there when its time comes near: it is older than whatever the ring has for the
//! same unit, so it is handed out first. Nothing is ever moved, and the earliest due time is always exact.
//!
//! Putting in, taking out and cancelling cost the same however many are pending. No lock here: the
//! [`Timer`](super::timer::Timer) has it, and the cost of growing is kept small because others wait for it
//! (nodes come in chunks, the index in shards).

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops;

/// Who waits for a timeout, and under which session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    pub handle: u32,
    pub session: i32,
}

/// Which unit a timeout counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Grid,
    Exact,
}

/// Nanoseconds in a unit of each lane.
pub const UNIT_NS: [u64; 2] = [10_000_000, 100_000];

/// Units that the ring of a lane covers: 82 s of ticks.
const NEAR: u64 = 8192;
const WORDS: usize = NEAR as usize / 64;
/// Nodes that are allocated at once.
const CHUNK: usize = 1024;
const SHARDS: usize = 64;
/// No node.
const NIL: u32 = u32::MAX;

/// See the file comment.
pub struct Pending {
    nodes: Nodes,
    lanes: [Units; 2],
    index: Index,
}

impl Pending {
    pub const fn new() -> Self {
        Pending {
            nodes: Nodes {
                chunks: Vec::new(),
                free: NIL,
                used: 0,
            },
            lanes: [const { Units::new() }; 2],
            index: Index {
                shards: [const { HashMap::with_hasher(BuildHasherDefault::new()) }; SHARDS],
            },
        }
    }

    /// Puts a timeout into unit `due` of a lane whose clock stands at unit `now`. The answer is when that
    /// is, in nanoseconds. What is due already counts as due in the earliest unit that is not done with.
    pub fn insert(&mut self, lane: Lane, now: u64, due: u64, expiry: Expiry) -> u64 {
        let units = &mut self.lanes[lane as usize];
        if units.len == 0 {
            units.base = units.base.max(now);
        }
        let due = due.max(units.base);
        let far = due - units.base >= NEAR;
        let id = self.nodes.put(Node {
            expiry,
            due,
            previous: NIL,
            next: NIL,
            lane,
            far,
        });
        units.len += 1;
        units.list_for(due, far).push(&mut self.nodes, id);
        self.index.insert(expiry, id);
        due.saturating_mul(UNIT_NS[lane as usize])
    }

    /// Takes a timeout out before it is due. Of several with the same session it is the last one. False
    /// when there is none, or none any more.
    pub fn cancel(&mut self, expiry: Expiry) -> bool {
        match self.index.find(expiry) {
            Some(id) => {
                self.take_out(id);
                true
            }
            None => false,
        }
    }

    /// When the first timeout is due, in nanoseconds.
    pub fn first(&self) -> Option<u64> {
        self.first_unit().map(|(_, _, at)| at)
    }

    /// Moves timeouts that are due at `now`, in order, to `batch`, at most `limit` of them. False when that
    /// was all.
    pub fn take(&mut self, now: u64, limit: usize, batch: &mut Vec<Expiry>) -> bool {
        while let Some((lane, unit, at)) = self.first_unit() {
            if at > now {
                break;
            }
            self.lanes[lane as usize].base = unit;
            while let Some(id) = self.lanes[lane as usize].first_in(unit) {
                if batch.len() >= limit {
                    return true;
                }
                batch.push(self.nodes[id].expiry);
                self.take_out(id);
            }
        }
        for (units, unit_ns) in self.lanes.iter_mut().zip(UNIT_NS) {
            units.base = units.base.max(now / unit_ns);
        }
        false
    }

    /// The earliest unit with a timeout in it: its lane, its number, and when it is.
    fn first_unit(&self) -> Option<(Lane, u64, u64)> {
        let at = |lane: Lane| {
            let unit = self.lanes[lane as usize].first()?;
            Some((lane, unit, unit.saturating_mul(UNIT_NS[lane as usize])))
        };
        match (at(Lane::Grid), at(Lane::Exact)) {
            (Some(grid), Some(exact)) => Some(if exact.2 < grid.2 { exact } else { grid }),
            (grid, exact) => grid.or(exact),
        }
    }

    fn take_out(&mut self, id: u32) {
        let Node {
            expiry,
            due,
            lane,
            far,
            ..
        } = self.nodes[id];
        let units = &mut self.lanes[lane as usize];
        units.len -= 1;
        let list = units.list_for(due, far);
        list.unlink(&mut self.nodes, id);
        if list.head == NIL {
            units.forget(due, far);
        }
        self.index.remove(expiry, id);
        self.nodes.give_back(id);
    }
}

impl Default for Pending {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Copy)]
struct Node {
    expiry: Expiry,
    /// Unit of the lane.
    due: u64,
    previous: u32,
    /// Also links the free nodes.
    next: u32,
    lane: Lane,
    /// In the tree, not in the ring.
    far: bool,
}

/// Nodes by number. Numbers are reused; memory is not given back.
struct Nodes {
    chunks: Vec<Box<[Node]>>,
    free: u32,
    used: u32,
}

impl Nodes {
    fn put(&mut self, node: Node) -> u32 {
        let mut id = self.free;
        if id == NIL {
            id = self.used;
            self.used += 1;
            if id as usize / CHUNK == self.chunks.len() {
                self.chunks.push(vec![node; CHUNK].into_boxed_slice());
            }
        } else {
            self.free = self[id].next;
        }
        self[id] = node;
        id
    }

    fn give_back(&mut self, id: u32) {
        self[id].next = self.free;
        self.free = id;
    }
}

impl ops::Index<u32> for Nodes {
    type Output = Node;
    fn index(&self, id: u32) -> &Node {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }
}

impl ops::IndexMut<u32> for Nodes {
    fn index_mut(&mut self, id: u32) -> &mut Node {
        &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }
}

/// The timeouts of one unit, oldest first.
#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

const EMPTY: List = List {
    head: NIL,
    tail: NIL,
};

impl List {
    fn push(&mut self, nodes: &mut Nodes, id: u32) {
        nodes[id].previous = self.tail;
        match self.tail {
            NIL => self.head = id,
            tail => nodes[tail].next = id,
        }
        self.tail = id;
    }

    fn unlink(&mut self, nodes: &mut Nodes, id: u32) {
        let Node { previous, next, .. } = nodes[id];
        match previous {
            NIL => self.head = next,
            previous => nodes[previous].next = next,
        }
        match next {
            NIL => self.tail = previous,
            next => nodes[next].previous = previous,
        }
    }
}

/// One lane.
struct Units {
    /// No unit below this one has anything in it. Never goes back.
    base: u64,
    len: usize,
    /// The lists of `base..base + NEAR`, at their number modulo `NEAR`. Allocated on first use.
    near: Vec<List>,
    /// Which of them have something.
    occupied: [u64; WORDS],
    /// Lists of units that were far away when they were begun.
    far: BTreeMap<u64, List>,
}

impl Units {
    const fn new() -> Self {
        Units {
            base: 0,
            len: 0,
            near: Vec::new(),
            occupied: [0; WORDS],
            far: BTreeMap::new(),
        }
    }

    /// The list of a unit, which the caller is about to put something into or to take something out of.
    fn list_for(&mut self, unit: u64, far: bool) -> &mut List {
        if far {
            return self.far.entry(unit).or_insert(EMPTY);
        }
        if self.near.is_empty() {
            self.near.resize(NEAR as usize, EMPTY);
        }
        let slot = slot(unit);
        self.occupied[slot / 64] |= 1 << (slot % 64);
        &mut self.near[slot]
    }

    /// A list of the unit has become empty.
    fn forget(&mut self, unit: u64, far: bool) {
        if far {
            self.far.remove(&unit);
        } else {
            let slot = slot(unit);
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// The oldest timeout of a unit, which is not below `base`.
    fn first_in(&self, unit: u64) -> Option<u32> {
        if let Some(list) = self.far.get(&unit) {
            return Some(list.head);
        }
        let head = self.near.get(slot(unit))?.head;
        (unit - self.base < NEAR && head != NIL).then_some(head)
    }

    /// The earliest unit with something in it.
    fn first(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let far = self.far.first_key_value().map(|(unit, _)| *unit);
        match (self.first_near(), far) {
            (Some(near), Some(far)) => Some(near.min(far)),
            (near, far) => near.or(far),
        }
    }

    fn first_near(&self) -> Option<u64> {
        let start = slot(self.base);
        // Once around: the word of `start` comes first without the slots before it, and last with them.
        (0..=WORDS).find_map(|step| {
            let word = (start / 64 + step) % WORDS;
            let bits = match step {
                0 => self.occupied[word] & (u64::MAX << (start % 64)),
                _ => self.occupied[word],
            };
            let found = word * 64 + bits.trailing_zeros() as usize;
            let distance = (found as u64).wrapping_sub(start as u64) % NEAR;
            (bits != 0).then_some(self.base + distance)
        })
    }
}

fn slot(unit: u64) -> usize {
    (unit % NEAR) as usize
}

/// Finds the newest timeout of an owner and a session.
struct Index {
    shards: [HashMap<u64, u32, BuildHasherDefault<Rows>>; SHARDS],
}

impl Index {
    fn insert(&mut self, expiry: Expiry, id: u32) {
        let key = key(expiry);
        self.shards[shard(key)].insert(key, id);
    }

    fn find(&self, expiry: Expiry) -> Option<u32> {
        let key = key(expiry);
        self.shards[shard(key)].get(&key).copied()
    }

    /// Forgets `id`, unless a newer one has taken its place.
    fn remove(&mut self, expiry: Expiry, id: u32) {
        let key = key(expiry);
        if let std::collections::hash_map::Entry::Occupied(entry) =
            self.shards[shard(key)].entry(key)
            && *entry.get() == id
        {
            entry.remove();
        }
    }
}

fn key(expiry: Expiry) -> u64 {
    u64::from(expiry.handle) << 32 | u64::from(expiry.session as u32)
}

/// Where a key belongs, before shards. Sessions that follow each other have neighbouring places, so that the
/// many timeouts of one service share cache lines.
fn place(key: u64) -> u64 {
    let (handle, session) = (key >> 32, key & u64::from(u32::MAX));
    (handle.wrapping_mul(MIX) >> 24).wrapping_add(session)
}

/// Shards take turns, a row of places each.
const ROW: u64 = 64;

fn shard(key: u64) -> usize {
    (place(key) / ROW) as usize % SHARDS
}

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes keys for the table of a shard: the low bits, which it counts buckets by, are the place among those
/// of the shard. Nobody chooses keys to do harm.
#[derive(Default)]
struct Rows(u64);

impl Hasher for Rows {
    fn write_u64(&mut self, key: u64) {
        let place = place(key);
        let inside = place / (ROW * SHARDS as u64) * ROW + place % ROW;
        let low = u64::from(u32::MAX);
        self.0 = inside & low | place.wrapping_mul(MIX) & !low;
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expiry(session: i32) -> Expiry {
        Expiry { handle: 1, session }
    }

    /// Everything due by unit `now` of the grid, in order.
    fn taken(pending: &mut Pending, now: u64) -> Vec<i32> {
        let mut batch = Vec::new();
        while pending.take(now * UNIT_NS[0], batch.len() + 7, &mut batch) {}
        batch.iter().map(|expiry| expiry.session).collect()
    }

    #[test]
    fn order_holds_between_tree_and_ring() {
        let mut pending = Pending::new();
        let far = 3 * NEAR + 5;
        pending.insert(Lane::Grid, 0, far, expiry(1));
        pending.insert(Lane::Grid, 0, 1, expiry(0));
        pending.insert(Lane::Grid, 0, far, expiry(2));
        assert_eq!(taken(&mut pending, far - 2), [0]);
        // The same unit is near now, and so is one that shares a slot with nobody.
        pending.insert(Lane::Grid, far - 2, far, expiry(3));
        pending.insert(Lane::Grid, far - 2, far - 1, expiry(4));
        pending.insert(Lane::Grid, far - 2, far - 2 + NEAR, expiry(6));
        pending.insert(Lane::Grid, far - 2, far - 3 + NEAR, expiry(5));
        assert_eq!(pending.first(), Some((far - 1) * UNIT_NS[0]));
        assert_eq!(taken(&mut pending, far), [4, 1, 2, 3]);
        assert_eq!(taken(&mut pending, far + NEAR), [5, 6]);
        assert_eq!(pending.first(), None);
    }

    #[test]
    fn a_late_one_is_due_at_once() {
        let mut pending = Pending::new();
        pending.insert(Lane::Grid, 5, 6, expiry(1));
        assert_eq!(taken(&mut pending, 100), [1]);
        let at = pending.insert(Lane::Grid, 6, 7, expiry(2));
        assert_eq!(at, 100 * UNIT_NS[0]);
        assert_eq!(taken(&mut pending, 100), [2]);
    }

    #[test]
    fn cancelling_finds_the_newest_and_forgets_what_fired() {
        let mut pending = Pending::new();
        for due in [10, 20, 30] {
            pending.insert(Lane::Grid, 0, due, expiry(7));
        }
        pending.insert(Lane::Exact, 0, 100 * 15, expiry(8));
        let stranger = Expiry {
            handle: 2,
            session: 7,
        };
        assert!(!pending.cancel(stranger));
        assert!(pending.cancel(expiry(7)), "the one in 30");
        assert!(!pending.cancel(expiry(7)));
        assert!(pending.cancel(expiry(8)));
        assert_eq!(taken(&mut pending, 100), [7, 7]);
        assert!(!pending.cancel(expiry(7)));
        assert_eq!(pending.first(), None);
    }

    /// Against a list that is sorted whenever something is wanted, over the borders of ring and counters.
    #[test]
    fn does_what_a_sorted_list_does() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let mut pending = Pending::new();
        let mut model: Vec<(u64, i32)> = Vec::new();
        let mut now = u64::from(u32::MAX) - 20_000;
        for session in 1..60_000 {
            let ticks = match random(10) {
                0 => 1 + random(i32::MAX as u64),
                1 => NEAR - 3 + random(6),
                2..5 => 1 + random(20_000),
                _ => 1 + random(50),
            };
            let due = if random(4) == 0 {
                // Tenths of a millisecond; never at the same time as a tick, so that order is known.
                let due = now * 100 + 1 + random(ticks * 100);
                let due = if due % 100 == 0 { due + 1 } else { due };
                pending.insert(Lane::Exact, now * 100, due, expiry(session));
                due
            } else {
                pending.insert(Lane::Grid, now, now + ticks, expiry(session));
                (now + ticks) * 100
            };
            model.push((due, session));
            if random(3) == 0 {
                let at = random(model.len() as u64) as usize;
                let (_, session) = model.remove(at);
                assert!(pending.cancel(expiry(session)));
            }
            if random(20) == 0 {
                now += match random(100) {
                    0 => NEAR * 2 + random(1000),
                    _ => random(40),
                };
                model.sort();
                let due = model.partition_point(|(at, _)| *at <= now * 100);
                let expected: Vec<i32> = model.drain(..due).map(|(_, session)| session).collect();
                assert_eq!(taken(&mut pending, now), expected);
                let first = model.first().map(|(at, _)| at * UNIT_NS[1]);
                assert_eq!(pending.first(), first);
            }
        }
        assert!(now > u64::from(u32::MAX));
    }
}
