//! The Merkle tree over all leaves: hashes, the right edge, stored tiles, and proofs of inclusion and consistency.
//!
//! Knows neither volumes nor keys: leaves come in as hashes, tiles lie wherever the caller keeps them, and who vouches for a
//! root is told by `checkpoint`. Hashing and proofs follow RFC 6962 §2.1, the checks of proofs RFC 9162 §2.1.3.2 and §2.1.4.2.
//!
//! | stored | bytes |
//! |---|---|
//! | frontier | size (u64, little-endian), then one hash for each bit set in the size, largest subtree first |
//! | tile `(level, index)` | 1 to 16 hashes: the roots of the complete subtrees of 16^level leaves, from number 16 × index on |

use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256};

/// Bytes of a SHA-256 digest.
pub const HASH_BYTES: usize = 32;

/// A hash of the tree: of a leaf, a node or the whole.
pub type Hash = [u8; HASH_BYTES];

/// Levels of the tree that one tile covers; a taller tile means fewer rows and more bytes written again with each batch.
pub const TILE_HEIGHT: u8 = 4;

/// Hashes in a full tile (512 bytes): 2 to the power of `TILE_HEIGHT`.
pub const TILE_WIDTH: usize = 1 << TILE_HEIGHT;

/// Bytes of a leaf entry: kind, sequence number, digest of the record's body.
pub const LEAF_ENTRY_BYTES: usize = 1 + 8 + HASH_BYTES;

/// Why stored tiles do not yield a hash or a proof.
#[derive(Debug, thiserror::Error)]
pub enum TreeError<E: std::error::Error + 'static> {
    /// The source failed.
    #[error("cannot read tile {index} of level {level}")]
    ReadTile {
        /// Level of the tile.
        level: u8,
        /// Number of the tile in its level.
        index: u64,
        /// What the source said.
        source: E,
    },
    /// The tile is absent or shorter than the size of the tree demands.
    #[error("hash missing in tile {index} of level {level}: {position}")]
    HashMissing {
        /// Level of the tile.
        level: u8,
        /// Number of the tile in its level.
        index: u64,
        /// Number of the hash in its tile.
        position: usize,
    },
    /// The asked leaf or smaller tree does not lie within the tree.
    #[error("outside of a tree of {size} leaves: {asked}")]
    OutsideTree {
        /// Leaves in the tree.
        size: u64,
        /// Leaf number or smaller size that was asked for.
        asked: u64,
    },
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidProof {
    /// The leaf or the smaller tree does not lie within the tree.
    #[error("proof reaches outside of a tree of {size} leaves: {asked}")]
    OutsideTree {
        /// Leaves in the tree.
        size: u64,
        /// Leaf number or smaller size that the proof is about.
        asked: u64,
    },
    /// The proof has more or fewer hashes than the place in the tree needs.
    #[error("proof has the wrong number of hashes: {count}")]
    WrongLength {
        /// Hashes in the proof.
        count: usize,
    },
    /// The hashes lead to another root.
    #[error("proof does not lead to the root")]
    WrongRoot,
}

/// Returns the root of the tree without leaves: SHA-256 of nothing (RFC 6962 §2.1).
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// Returns the hash of a leaf: SHA-256(00 ‖ entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0x00], entry])
}

/// Returns the hash of the node above two subtrees: SHA-256(01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[0x01], left, right])
}

/// Returns the entry of a leaf record from its kind, its sequence number and the SHA-256 of its body (salt included).
pub fn leaf_entry(kind: u8, sequence: u64, digest: &Hash) -> [u8; LEAF_ENTRY_BYTES] {
    let mut entry = [kind; LEAF_ENTRY_BYTES];
    entry[1..9].copy_from_slice(&sequence.to_le_bytes());
    entry[9..].copy_from_slice(digest);
    entry
}

/// The right edge of the tree: enough to append leaves and to know the root, in at most 64 hashes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees that the tree falls into, largest first: one for each bit set in `size`.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Returns the edge of the tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the edge of the tree of the first `size` leaves from stored tiles.
    pub fn at<S: TileSource + ?Sized>(source: &S, size: u64) -> Result<Self, TreeError<S::Error>> {
        let peaks = complete_subtrees(0..size)
            .map(|subtree| read_subtree(source, subtree))
            .collect::<Result<_, _>>()?;
        Ok(Self { size, peaks })
    }

    /// Returns the number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("a peak for each bit of the size");
            hash = node_hash(&left, &hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Returns the root of the tree.
    pub fn root(&self) -> Hash {
        join_peaks(&self.peaks)
    }

    /// Writes the edge in the form given at the head of this file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_le_bytes().to_vec();
        bytes.extend_from_slice(self.peaks.as_flattened());
        bytes
    }

    /// Reads what `to_bytes` wrote; nothing when the length does not fit the size.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk()?;
        let size = u64::from_le_bytes(*size);
        let (peaks, odd) = rest.as_chunks();
        let fits = odd.is_empty() && peaks.len() == size.count_ones() as usize;
        fits.then(|| Self {
            size,
            peaks: peaks.to_vec(),
        })
    }
}

/// Where tiles are kept.
pub trait TileSource {
    /// What can go wrong while reading.
    type Error: std::error::Error + 'static;

    /// Returns the hashes of a tile, as many as are stored; none when the tile is absent.
    fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, Self::Error>;
}

/// A tile as it must be stored, replacing an older, shorter one of the same place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tile {
    /// Level: the hashes are roots of subtrees of 16^level leaves.
    pub level: u8,
    /// Number of the tile in its level.
    pub index: u64,
    /// One to `TILE_WIDTH` hashes.
    pub hashes: Vec<Hash>,
}

/// Appends leaves to a stored tree and tells which tiles change.
#[derive(Clone, Debug, Default)]
pub struct Appender {
    frontier: Frontier,
    /// The last tile of each level, as long as it is not full.
    open: Vec<Vec<Hash>>,
    /// Tiles filled since the last `take_changed`.
    filled: Vec<Tile>,
    /// Leaves at the last `take_changed`.
    taken_size: u64,
}

impl Appender {
    /// Goes on with the stored tree of `size` leaves.
    pub fn open<S: TileSource + ?Sized>(
        source: &S,
        size: u64,
    ) -> Result<Self, TreeError<S::Error>> {
        let levels = size.checked_ilog2().unwrap_or(0) / u32::from(TILE_HEIGHT) + 1;
        let open = (0..levels as u8)
            .map(|level| read_open_tile(source, level, size))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            frontier: Frontier::at(source, size)?,
            open,
            filled: Vec::new(),
            taken_size: size,
        })
    }

    /// Returns the right edge, which knows size and root.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Appends a leaf by its hash.
    pub fn append(&mut self, leaf: Hash) {
        self.frontier.append(leaf);
        let mut hash = leaf;
        for level in 0.. {
            if self.open.len() == usize::from(level) {
                self.open.push(Vec::with_capacity(TILE_WIDTH));
            }
            let tile = &mut self.open[usize::from(level)];
            tile.push(hash);
            if tile.len() < TILE_WIDTH {
                return;
            }
            let hashes = std::mem::take(tile);
            hash = complete_root(&hashes);
            let index = (hashes_of_level(self.frontier.size, level) - 1) / TILE_WIDTH as u64;
            self.filled.push(Tile {
                level,
                index,
                hashes,
            });
        }
    }

    /// Returns the tiles that changed since the last call, each once, and forgets them.
    pub fn take_changed(&mut self) -> Vec<Tile> {
        let mut changed = std::mem::take(&mut self.filled);
        let (before, now) = (self.taken_size, self.frontier.size);
        for (level, hashes) in (0..).zip(&self.open) {
            let count = hashes_of_level(now, level);
            if !hashes.is_empty() && count != hashes_of_level(before, level) {
                changed.push(Tile {
                    level,
                    index: count / TILE_WIDTH as u64,
                    hashes: hashes.clone(),
                });
            }
        }
        self.taken_size = now;
        changed
    }
}

/// Returns the root of the tree of the first `size` leaves.
pub fn root_at<S: TileSource + ?Sized>(source: &S, size: u64) -> Result<Hash, TreeError<S::Error>> {
    read_range(source, 0..size)
}

/// Returns the hash of leaf `index`, counted from 0.
pub fn leaf_at<S: TileSource + ?Sized>(
    source: &S,
    index: u64,
) -> Result<Hash, TreeError<S::Error>> {
    read_subtree(source, Subtree { height: 0, index })
}

/// Returns the proof that leaf `index` is in the tree of the first `size` leaves, the leaf's sibling first (RFC 6962 §2.1.1).
///
/// # Errors
/// `OutsideTree` unless `index < size`; the other kinds when the tiles do not hold the tree.
pub fn inclusion_proof<S: TileSource + ?Sized>(
    source: &S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, TreeError<S::Error>> {
    if index >= size {
        return Err(TreeError::OutsideTree { size, asked: index });
    }
    let mut siblings = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = split(start..end);
        if index < middle {
            siblings.push(middle..end);
            end = middle;
        } else {
            siblings.push(start..middle);
            start = middle;
        }
    }
    read_upwards(source, siblings)
}

/// Returns the proof that the tree of `to` leaves begins with that of `from` leaves (RFC 6962 §2.1.2).
///
/// It is empty when both are the same or `from` is 0.
///
/// # Errors
/// `OutsideTree` when `from > to`; the other kinds when the tiles do not hold the tree.
pub fn consistency_proof<S: TileSource + ?Sized>(
    source: &S,
    from: u64,
    to: u64,
) -> Result<Vec<Hash>, TreeError<S::Error>> {
    if from > to {
        return Err(TreeError::OutsideTree {
            size: to,
            asked: from,
        });
    }
    let mut siblings = Vec::new();
    let (mut start, mut end) = (0, to);
    while from != 0 && from != end {
        let middle = split(start..end);
        if from <= middle {
            siblings.push(middle..end);
            end = middle;
        } else {
            siblings.push(start..middle);
            start = middle;
        }
    }
    // The old root itself is known to whoever asks and is left out.
    if start != 0 {
        siblings.push(start..end);
    }
    read_upwards(source, siblings)
}

/// Checks that the leaf with this hash is number `index` of the tree of `size` leaves with this root (RFC 9162 §2.1.3.2).
///
/// The size is as trustworthy as where it came from: a proof alone does not bind it.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), InvalidProof> {
    if index >= size {
        return Err(InvalidProof::OutsideTree { size, asked: index });
    }
    let mut climb = Climb::new(index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        hash = match climb.step() {
            Some(Side::Left) => node_hash(sibling, &hash),
            Some(Side::Right) => node_hash(&hash, sibling),
            None => return Err(InvalidProof::WrongLength { count: proof.len() }),
        };
    }
    climb.expect_top(proof.len())?;
    expect_root(&hash, root)
}

/// Checks that the tree of `to` leaves begins with that of `from` leaves (RFC 9162 §2.1.4.2).
///
/// Every tree begins with the empty one; then, and for equal sizes, the proof has to be empty.
pub fn verify_consistency(
    from: u64,
    from_root: &Hash,
    to: u64,
    to_root: &Hash,
    proof: &[Hash],
) -> Result<(), InvalidProof> {
    if from > to {
        return Err(InvalidProof::OutsideTree {
            size: to,
            asked: from,
        });
    }
    if from == 0 || from == to {
        let known_root = if from == 0 { empty_root() } else { *to_root };
        return match proof.len() {
            0 => expect_root(from_root, &known_root),
            count => Err(InvalidProof::WrongLength { count }),
        };
    }
    let wrong_length = InvalidProof::WrongLength { count: proof.len() };
    // A power of two: the old tree is one complete subtree, and the proof leaves its root out.
    let (start, rest) = if from.is_power_of_two() {
        (from_root, proof)
    } else {
        proof.split_first().ok_or(wrong_length)?
    };
    let shift = (from - 1).trailing_ones();
    let mut climb = Climb::new((from - 1) >> shift, (to - 1) >> shift);
    let (mut old, mut new) = (*start, *start);
    for sibling in rest {
        match climb.step().ok_or(wrong_length)? {
            Side::Left => {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
            }
            Side::Right => new = node_hash(&new, sibling),
        }
    }
    climb.expect_top(proof.len())?;
    expect_root(&old, from_root)?;
    expect_root(&new, to_root)
}

/// The way from a node up to the root, by the node's number and the last number in the same row.
struct Climb {
    node: u64,
    last: u64,
}

/// On which side of the node the next hash of the proof stands.
enum Side {
    Left,
    Right,
}

impl Climb {
    fn new(node: u64, last: u64) -> Self {
        Self { node, last }
    }

    /// Goes up to the next node that has two children and says where the sibling stands; nothing at the top.
    fn step(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        if self.node.is_multiple_of(2) && self.node < self.last {
            self.up(1);
            return Some(Side::Right);
        }
        // The right edge of a tree that is not complete: rows in which the node has no sibling are passed over. `node` is not 0,
        // for it is odd or equals `last`.
        self.up(self.node.trailing_zeros() + 1);
        Some(Side::Left)
    }

    fn up(&mut self, rows: u32) {
        self.node = self.node.checked_shr(rows).unwrap_or(0);
        self.last = self.last.checked_shr(rows).unwrap_or(0);
    }

    fn expect_top(&self, count: usize) -> Result<(), InvalidProof> {
        match self.last {
            0 => Ok(()),
            _ => Err(InvalidProof::WrongLength { count }),
        }
    }
}

fn expect_root(found: &Hash, root: &Hash) -> Result<(), InvalidProof> {
    if found == root {
        Ok(())
    } else {
        Err(InvalidProof::WrongRoot)
    }
}

/// A complete subtree: the `index`-th (from 0) of those with 2^height leaves.
#[derive(Clone, Copy)]
struct Subtree {
    height: u32,
    index: u64,
}

/// Takes a range of leaves that the tree's own splits yield apart into complete subtrees, largest first.
fn complete_subtrees(range: Range<u64>) -> impl Iterator<Item = Subtree> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let height = (range.end - start).checked_ilog2()?;
        let index = start >> height;
        start += 1 << height;
        Some(Subtree { height, index })
    })
}

/// Returns where a range of two or more leaves is split: the left part is the largest power of two below its length.
fn split(range: Range<u64>) -> u64 {
    range.start + (1 << (range.end - range.start - 1).ilog2())
}

/// Reads the roots of ranges that were collected from the root downwards, and turns them round.
fn read_upwards<S: TileSource + ?Sized>(
    source: &S,
    ranges: Vec<Range<u64>>,
) -> Result<Vec<Hash>, TreeError<S::Error>> {
    ranges
        .into_iter()
        .rev()
        .map(|range| read_range(source, range))
        .collect()
}

fn read_range<S: TileSource + ?Sized>(
    source: &S,
    range: Range<u64>,
) -> Result<Hash, TreeError<S::Error>> {
    let peaks = complete_subtrees(range)
        .map(|subtree| read_subtree(source, subtree))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(join_peaks(&peaks))
}

fn read_subtree<S: TileSource + ?Sized>(
    source: &S,
    subtree: Subtree,
) -> Result<Hash, TreeError<S::Error>> {
    let tile_height = u32::from(TILE_HEIGHT);
    let level = (subtree.height / tile_height) as u8;
    let rows = subtree.height % tile_height;
    let first = subtree.index << rows;
    let position = (first % TILE_WIDTH as u64) as usize;
    let tile = first / TILE_WIDTH as u64;
    read_tile(source, level, tile, position + (1 << rows))
        .map(|hashes| complete_root(&hashes[position..]))
}

/// Reads the last tile of a level in the tree of `size` leaves, empty when the tile before it is just full.
fn read_open_tile<S: TileSource + ?Sized>(
    source: &S,
    level: u8,
    size: u64,
) -> Result<Vec<Hash>, TreeError<S::Error>> {
    let count = hashes_of_level(size, level);
    match (count % TILE_WIDTH as u64) as usize {
        0 => Ok(Vec::new()),
        part => read_tile(source, level, count / TILE_WIDTH as u64, part),
    }
}

/// Reads the first `count` hashes of a tile.
fn read_tile<S: TileSource + ?Sized>(
    source: &S,
    level: u8,
    index: u64,
    count: usize,
) -> Result<Vec<Hash>, TreeError<S::Error>> {
    let mut hashes = source
        .tile(level, index)
        .map_err(|source| TreeError::ReadTile {
            level,
            index,
            source,
        })?;
    if hashes.len() < count {
        return Err(TreeError::HashMissing {
            level,
            index,
            position: hashes.len(),
        });
    }
    hashes.truncate(count);
    Ok(hashes)
}

/// Returns how many hashes a level holds in the tree of `size` leaves.
fn hashes_of_level(size: u64, level: u8) -> u64 {
    size.checked_shr(u32::from(TILE_HEIGHT) * u32::from(level))
        .unwrap_or(0)
}

/// Returns the root over 1, 2, 4, 8 or 16 hashes.
fn complete_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [only] => *only,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&complete_root(left), &complete_root(right))
        }
    }
}

/// Returns the root over complete subtrees, largest first.
fn join_peaks(peaks: &[Hash]) -> Hash {
    peaks
        .iter()
        .rev()
        .copied()
        .reduce(|right, left| node_hash(&left, &right))
        .unwrap_or_else(empty_root)
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context
        .finish()
        .as_ref()
        .try_into()
        .expect("SHA-256 yields 32 bytes")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// Every size up to here is tried; it takes a third level of tiles only beyond 256, which the property below reaches.
    const SIZE_MAX: u64 = 130;

    /// The inputs of the reference tree that the Certificate Transparency projects share.
    const REFERENCE_LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];

    /// The roots of the reference tree after each of its leaves.
    const REFERENCE_ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[derive(Default)]
    struct Tiles(BTreeMap<(u8, u64), Vec<Hash>>);

    impl Tiles {
        fn store(&mut self, changed: Vec<Tile>) {
            for tile in changed {
                self.0.insert((tile.level, tile.index), tile.hashes);
            }
        }
    }

    impl TileSource for Tiles {
        type Error = Infallible;

        fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, Infallible> {
            Ok(self.0.get(&(level, index)).cloned().unwrap_or_default())
        }
    }

    /// MTH of RFC 6962 §2.1, word for word.
    fn model_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [only] => *only,
            _ => {
                let (left, right) = leaves.split_at(model_split(leaves));
                node_hash(&model_root(left), &model_root(right))
            }
        }
    }

    /// PATH of RFC 6962 §2.1.1, word for word.
    fn model_inclusion(index: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let k = model_split(leaves);
        let (left, right) = leaves.split_at(k);
        let (mut proof, last) = if index < k {
            (model_inclusion(index, left), model_root(right))
        } else {
            (model_inclusion(index - k, right), model_root(left))
        };
        proof.push(last);
        proof
    }

    /// SUBPROOF of RFC 6962 §2.1.2, word for word.
    fn model_consistency(from: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
        if from == leaves.len() {
            return if known {
                Vec::new()
            } else {
                vec![model_root(leaves)]
            };
        }
        let k = model_split(leaves);
        let (left, right) = leaves.split_at(k);
        let (mut proof, last) = if from <= k {
            (model_consistency(from, left, known), model_root(right))
        } else {
            (model_consistency(from - k, right, false), model_root(left))
        };
        proof.push(last);
        proof
    }

    /// The largest power of two smaller than the number of leaves.
    fn model_split(leaves: &[Hash]) -> usize {
        leaves.len().next_power_of_two() / 2
    }

    fn some_leaves(count: u64) -> Vec<Hash> {
        (0..count)
            .map(|number| leaf_hash(&number.to_be_bytes()))
            .collect()
    }

    fn tree_of(leaves: &[Hash]) -> (Appender, Tiles) {
        let mut appender = Appender::default();
        let mut tiles = Tiles::default();
        leaves.iter().for_each(|leaf| appender.append(*leaf));
        tiles.store(appender.take_changed());
        (appender, tiles)
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex digits"))
            .collect()
    }

    fn reference_leaves() -> Vec<Hash> {
        REFERENCE_LEAVES
            .iter()
            .map(|entry| leaf_hash(&hex(entry)))
            .collect()
    }

    /// Every way to change a list of hashes a little: flip a bit of one, leave one out, double one, add one.
    fn changes(proof: &[Hash]) -> Vec<Vec<Hash>> {
        let mut all = Vec::new();
        for at in 0..proof.len() {
            let mut flipped = proof.to_vec();
            flipped[at][at % HASH_BYTES] ^= 0x10;
            let mut shorter = proof.to_vec();
            shorter.remove(at);
            let mut longer = proof.to_vec();
            longer.insert(at, proof[at]);
            all.extend([flipped, shorter, longer]);
        }
        all.push([proof, &[[0; HASH_BYTES]]].concat());
        all
    }

    #[test]
    fn empty_root_is_the_digest_of_nothing() {
        let expected = hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(Frontier::new().root().as_slice(), expected);
    }

    #[test]
    fn reference_tree_has_the_published_roots() {
        let leaves = reference_leaves();
        let mut frontier = Frontier::new();
        for (leaf, root) in leaves.iter().zip(REFERENCE_ROOTS) {
            frontier.append(*leaf);
            assert_eq!(frontier.root().as_slice(), hex(root));
        }
    }

    #[test]
    fn reference_tree_has_the_published_proofs() {
        let (_, tiles) = tree_of(&reference_leaves());
        let check = |proof: Vec<Hash>, expected: &[&str]| {
            assert_eq!(proof.as_flattened(), hex(&expected.concat()));
        };
        check(
            inclusion_proof(&tiles, 0, 8).expect("tiles are whole"),
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        );
        check(
            consistency_proof(&tiles, 1, 8).expect("tiles are whole"),
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        );
        check(
            consistency_proof(&tiles, 6, 8).expect("tiles are whole"),
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        );
    }

    #[test]
    fn leaf_entry_is_kind_sequence_digest() {
        let entry = leaf_entry(3, 0x0102, &[0xaa; HASH_BYTES]);
        assert_eq!(entry[..9], [3, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(entry[9..], [0xaa; HASH_BYTES]);
    }

    #[test]
    fn every_size_has_the_root_of_the_rfc() {
        let leaves = some_leaves(SIZE_MAX);
        let (_, tiles) = tree_of(&leaves);
        let mut frontier = Frontier::new();
        for size in 0..=SIZE_MAX {
            let expected = model_root(&leaves[..size as usize]);
            assert_eq!(frontier.root(), expected);
            assert_eq!(root_at(&tiles, size).expect("tiles are whole"), expected);
            assert_eq!(
                Frontier::at(&tiles, size).expect("tiles are whole"),
                frontier
            );
            assert_eq!(
                Frontier::from_bytes(&frontier.to_bytes()).as_ref(),
                Some(&frontier)
            );
            if let Some(leaf) = leaves.get(size as usize) {
                assert_eq!(leaf_at(&tiles, size).expect("tiles are whole"), *leaf);
                frontier.append(*leaf);
            }
        }
    }

    #[test]
    fn every_inclusion_proof_holds_and_no_other_does() {
        let other = leaf_hash(b"other");
        let leaves = some_leaves(SIZE_MAX);
        let (_, tiles) = tree_of(&leaves);
        for size in 1..=SIZE_MAX {
            let root = root_at(&tiles, size).expect("tiles are whole");
            for index in 0..size {
                let leaf = leaves[index as usize];
                let proof = inclusion_proof(&tiles, index, size).expect("tiles are whole");
                assert_eq!(
                    proof,
                    model_inclusion(index as usize, &leaves[..size as usize])
                );
                let check = |leaf, index, proof: &[Hash], root| {
                    verify_inclusion(leaf, index, size, proof, root)
                };
                assert_eq!(check(&leaf, index, &proof, &root), Ok(()));
                for changed in changes(&proof) {
                    assert!(check(&leaf, index, &changed, &root).is_err());
                }
                assert!(check(&leaf, index, &proof, &other).is_err());
                assert!(check(&other, index, &proof, &root).is_err());
                assert!(check(&leaf, index + 1, &proof, &root).is_err());
                assert!(check(&leaf, index ^ 1, &proof, &root).is_err());
            }
        }
    }

    #[test]
    fn every_consistency_proof_holds_and_no_other_does() {
        let other = leaf_hash(b"other");
        let leaves = some_leaves(SIZE_MAX);
        let (_, tiles) = tree_of(&leaves);
        let roots: Vec<Hash> = (0..=SIZE_MAX)
            .map(|size| root_at(&tiles, size).expect("tiles are whole"))
            .collect();
        for to in 1..=SIZE_MAX {
            for from in 1..=to {
                let proof = consistency_proof(&tiles, from, to).expect("tiles are whole");
                assert_eq!(
                    proof,
                    model_consistency(from as usize, &leaves[..to as usize], true)
                );
                let (old, new) = (&roots[from as usize], &roots[to as usize]);
                let check =
                    |old, proof: &[Hash], new| verify_consistency(from, old, to, new, proof);
                assert_eq!(check(old, &proof, new), Ok(()));
                for changed in changes(&proof) {
                    assert!(check(old, &changed, new).is_err());
                }
                assert!(check(&other, &proof, new).is_err());
                assert!(check(old, &proof, &other).is_err());
            }
        }
    }

    #[test]
    fn every_tree_begins_with_the_empty_one() {
        let (appender, tiles) = tree_of(&some_leaves(5));
        let (empty, root) = (empty_root(), appender.frontier().root());
        assert_eq!(
            consistency_proof(&tiles, 0, 5).expect("tiles are whole"),
            [] as [Hash; 0]
        );
        assert_eq!(verify_consistency(0, &empty, 5, &root, &[]), Ok(()));
        assert_eq!(verify_consistency(0, &empty, 0, &empty, &[]), Ok(()));
        let wrong_root = verify_consistency(0, &root, 5, &root, &[]);
        assert_eq!(wrong_root, Err(InvalidProof::WrongRoot));
        let wrong_length = verify_consistency(0, &empty, 5, &root, &[root]);
        assert_eq!(wrong_length, Err(InvalidProof::WrongLength { count: 1 }));
        let backwards = verify_consistency(6, &root, 5, &root, &[]);
        assert_eq!(
            backwards,
            Err(InvalidProof::OutsideTree { size: 5, asked: 6 })
        );
    }

    #[test]
    fn what_lies_outside_the_tree_is_refused() {
        let (_, tiles) = tree_of(&some_leaves(5));
        let outside = |result| matches!(result, Err(TreeError::OutsideTree { .. }));
        assert!(outside(inclusion_proof(&tiles, 5, 5)));
        assert!(outside(inclusion_proof(&tiles, 0, 0)));
        assert!(outside(consistency_proof(&tiles, 6, 5)));
        let missing = root_at(&tiles, 6).expect_err("five leaves are stored");
        assert_eq!(missing.to_string(), "hash missing in tile 0 of level 0: 5");
        let refused = verify_inclusion(&empty_root(), 5, 5, &[], &empty_root());
        assert_eq!(
            refused,
            Err(InvalidProof::OutsideTree { size: 5, asked: 5 })
        );
    }

    #[test]
    fn huge_sizes_do_not_overflow() {
        let root = empty_root();
        for index in [0, 1, u64::MAX / 2, u64::MAX - 2, u64::MAX - 1] {
            for count in 0..=66 {
                let proof = vec![root; count];
                assert!(verify_inclusion(&root, index, u64::MAX, &proof, &root).is_err());
                assert!(
                    verify_consistency(index + 1, &root, u64::MAX, &root, &proof).is_err()
                        || index == u64::MAX - 1
                );
            }
        }
        assert_eq!(split(0..u64::MAX), 1 << 63);
    }

    #[test]
    fn torn_frontier_bytes_are_refused() {
        let (appender, _) = tree_of(&some_leaves(7));
        let bytes = appender.frontier().to_bytes();
        assert_eq!(bytes.len(), 8 + 3 * HASH_BYTES);
        for length in 0..bytes.len() {
            assert_eq!(Frontier::from_bytes(&bytes[..length]), None);
        }
        assert_eq!(
            Frontier::from_bytes(&[bytes.as_slice(), &[0]].concat()),
            None
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Batches of any sizes, with the appender opened again between them or not, store the same tiles as one batch.
        #[test]
        fn batches_store_the_same_tiles(batches in prop::collection::vec((0_u64..400, any::<bool>()), 0..6)) {
            let leaves = some_leaves(batches.iter().map(|(count, _)| count).sum());
            let mut tiles = Tiles::default();
            let mut appender = Appender::default();
            let mut rest = leaves.iter();
            for (count, reopen) in batches {
                rest.by_ref().take(count as usize).for_each(|leaf| appender.append(*leaf));
                let changed = appender.take_changed();
                let places: std::collections::BTreeSet<_> = changed.iter().map(|tile| (tile.level, tile.index)).collect();
                prop_assert_eq!(places.len(), changed.len());
                prop_assert!(changed.len() as u64 <= count / 15 + 2 * 4);
                tiles.store(changed);
                if reopen {
                    appender = Appender::open(&tiles, appender.frontier().size()).expect("tiles are whole");
                }
                prop_assert_eq!(appender.take_changed(), []);
            }
            let (at_once, expected) = tree_of(&leaves);
            prop_assert_eq!(appender.frontier(), at_once.frontier());
            prop_assert_eq!(appender.frontier().root(), model_root(&leaves));
            prop_assert_eq!(tiles.0, expected.0);
        }
    }
}
