//! Fixed texts, of ASCII characters, as a tree: which of them may still follow, byte by byte.
//!
//! One place in the tree stands for all the texts that begin alike, so that a word of prose costs one step a
//! byte, however many detectors' texts begin with its first letter.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One fixed text.
#[derive(Clone, Debug)]
pub(crate) struct Text<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) ignore_case: bool,
    /// What [`Trie::ends`] gives at its end.
    pub(crate) id: u32,
}

impl Text<'_> {
    /// The bytes that may stand at a place of the text.
    fn takes(&self, at: usize) -> BTreeSet<u8> {
        let byte = self.bytes.get(at).copied().into_iter();
        let folds = |byte: u8| [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
        byte.flat_map(|byte| if self.ignore_case { folds(byte) } else { [byte, byte] }).collect()
    }
}

/// What was read of some of the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node(u32);

/// A few fixed texts, or a few thousand.
#[derive(Debug, Default)]
pub(crate) struct Trie {
    places: Vec<Place>,
    /// The nodes that nodes lead to.
    nodes: Vec<Node>,
    ends: Vec<u32>,
}

/// Where a node's parts stand.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// A bit for every next byte: most bytes lead nowhere, and this tells at once.
    bytes: u128,
    /// Where the next nodes begin, in the order of their bytes.
    next: u32,
    ends: (u32, u32),
}

impl Trie {
    /// The node after one byte; `None` if no text goes on with it.
    #[inline]
    pub(crate) fn step(&self, node: Node, byte: u8) -> Option<Node> {
        let Place { bytes, next, .. } = *self.places.get(node.0 as usize)?;
        let bit = bit(byte);
        if bytes & bit == 0 {
            return None;
        }
        let earlier = (bytes & (bit - 1)).count_ones();
        self.nodes.get((next + earlier) as usize).copied()
    }

    /// The texts that are complete, by their ids in ascending order.
    #[inline]
    pub(crate) fn ends(&self, node: Node) -> &[u32] {
        let (from, to) = self.place(node).ends;
        self.ends.get(from as usize..to as usize).unwrap_or_default()
    }

    /// Whether no text goes on here.
    #[inline]
    pub(crate) fn is_leaf(&self, node: Node) -> bool {
        self.place(node).bytes == 0
    }

    fn place(&self, node: Node) -> Place {
        self.places.get(node.0 as usize).copied().unwrap_or_default()
    }
}

/// Builds a tree that may have several roots, each for a part of the texts.
pub(crate) struct Builder<'a> {
    texts: &'a [Text<'a>],
    trie: Trie,
    /// Nodes by what tells them apart: how much was read, and the texts that it fits.
    known: HashMap<(usize, Vec<usize>), Node>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(texts: &'a [Text<'a>]) -> Self {
        debug_assert!(texts.iter().all(|text| text.bytes.is_ascii()), "texts are constants of the catalogue");
        Self { texts, trie: Trie::default(), known: HashMap::new() }
    }

    /// The root for the texts that `is_wanted` names by their index.
    pub(crate) fn root(&mut self, is_wanted: impl Fn(usize) -> bool) -> Node {
        let wanted = (0..self.texts.len()).filter(|&index| is_wanted(index)).collect();
        self.node(0, wanted)
    }

    pub(crate) fn build(self) -> Trie {
        self.trie
    }

    /// Texts are short, so the recursion is shallow.
    fn node(&mut self, read: usize, texts: Vec<usize>) -> Node {
        if let Some(&known) = self.known.get(&(read, texts.clone())) {
            return known;
        }
        let mut next: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
        let mut ends = Vec::new();
        let alive = texts.iter().filter_map(|&index| Some((index, self.texts.get(index)?)));
        ends.extend(alive.clone().filter(|(_, text)| text.bytes.len() == read).map(|(_, text)| text.id));
        // Where one text of an id is complete, longer ones say nothing more.
        for (index, text) in alive.filter(|(_, text)| !ends.contains(&text.id)) {
            for byte in text.takes(read) {
                next.entry(byte).or_default().push(index);
            }
        }
        let next: Vec<(u8, Node)> =
            next.into_iter().map(|(byte, texts)| (byte, self.node(read + 1, texts))).collect();
        ends.sort_unstable();
        ends.dedup();
        let node = self.add(&next, &ends);
        self.known.insert((read, texts), node);
        node
    }

    fn add(&mut self, next: &[(u8, Node)], ends: &[u32]) -> Node {
        let trie = &mut self.trie;
        let node = Node(narrow(trie.places.len()));
        trie.places.push(Place {
            bytes: next.iter().fold(0, |bytes, (byte, _)| bytes | bit(*byte)),
            next: narrow(trie.nodes.len()),
            ends: (narrow(trie.ends.len()), narrow(trie.ends.len() + ends.len())),
        });
        trie.nodes.extend(next.iter().map(|(_, node)| node));
        trie.ends.extend_from_slice(ends);
        node
    }
}

/// None for what is not ASCII.
fn bit(byte: u8) -> u128 {
    if byte.is_ascii() { 1 << byte } else { 0 }
}

/// Texts are limited far below 2^32 bytes.
fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends_along(trie: &Trie, root: Node, text: &str) -> Vec<Vec<u32>> {
        let mut node = Some(root);
        let nodes = text.bytes().map_while(|byte| {
            node = trie.step(node?, byte);
            node
        });
        nodes.map(|node| trie.ends(node).to_vec()).collect()
    }

    #[test]
    fn texts_end_where_they_are_complete_in_the_cases_they_take() {
        let text = |bytes: &'static str, ignore_case, id| Text { bytes: bytes.as_bytes(), ignore_case, id };
        let texts =
            [text("sk-", false, 1), text("skip", true, 2), text("sk-proj", false, 3), text("SK", true, 4)];
        let mut builder = Builder::new(&texts);
        let (all, some) = (builder.root(|_| true), builder.root(|index| index == 1));
        let trie = builder.build();
        assert_eq!(ends_along(&trie, all, "sk-pro"), [vec![], vec![4], vec![1], vec![], vec![], vec![]]);
        assert_eq!(ends_along(&trie, all, "sKIp!"), [vec![], vec![4], vec![], vec![2]]);
        assert_eq!(ends_along(&trie, all, "SK-"), [vec![], vec![4]]);
        assert_eq!(ends_along(&trie, some, "SK"), [Vec::<u32>::new(), vec![]]);
        let at_end = "skip".bytes().try_fold(some, |node, byte| trie.step(node, byte)).unwrap();
        assert!(trie.is_leaf(at_end) && !trie.is_leaf(some));
        // A word in any case is one path, not one for every way to write it.
        assert!(trie.places.len() < 24, "{}", trie.places.len());
    }
}
