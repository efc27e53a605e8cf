//! Puts documents into the index and makes them searchable.
//!
//! There is one [`Writer`] for a folder. What it was given becomes searchable with [`Writer::commit`], which also
//! writes the watermark. A commit may vanish in a power cut; the older one, with its older watermark, is then
//! the truth. No sync of the volumes ever waits for it.

use tantivy::IndexWriter;
use tantivy::Term;
use tantivy::index::SegmentId;
use tantivy::indexer::IndexWriterOptions;
use tantivy::merge_policy::{LogMergePolicy, MergePolicy, NoMergePolicy};

use super::document::{self, Document};
use super::under_way::{Entry, UnderWay};
use super::{Index, IndexContext};
use crate::error::Result;

/// Memory in bytes that a writer may fill before it writes a segment out, shared by its threads.
///
/// 64 MiB hold the words of some 100 MiB of mail. Half of it makes twice the segments, which costs merges.
pub const MEMORY_BYTES: usize = 64 << 20;

/// Memory in bytes that a thread gets at least; below 15,000,000 tantivy refuses.
const THREAD_MEMORY_BYTES_MIN: usize = 16 << 20;

/// Segments of like size that are merged into one: fewer cost more writing, more cost each search a lookup.
const MERGED_AT_ONCE: usize = 8;

/// Documents above which a segment is left alone: merging it would rewrite gigabytes for little gain.
const MERGED_DOCUMENTS_MAX: usize = 4_000_000;

/// Share of removed documents above which a segment is written anew without them.
const REMOVED_SHARE_MAX: f32 = 0.2;

/// Segments of like size that are merged into one while nothing else is to be done; fewer make each search slower after a start.
const MERGED_IN_QUIET: usize = 3;

/// Documents of a segment above which it is left alone in quiet times: three of this size take some three seconds.
const MERGED_IN_QUIET_DOCUMENTS_MAX: usize = 30_000;

/// Documents below which segments are alike in quiet times.
const ALIKE_DOCUMENTS: u32 = 64;

/// When segments are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merging {
    /// On a thread of its own, while documents are added.
    Background,
    /// Inside [`Writer::commit`], after the commit; with one thread every run then writes in the same order.
    InCommit,
}

/// How a writer works.
#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// Threads that take words apart, at least one.
    pub threads: usize,
    /// Memory in bytes for all threads together, see [`MEMORY_BYTES`].
    pub memory_bytes: usize,
    /// When segments are merged.
    pub merging: Merging,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            memory_bytes: MEMORY_BYTES,
            merging: Merging::Background,
        }
    }
}

/// The one writer of an index folder.
pub struct Writer {
    index: Index,
    tantivy: IndexWriter<Entry>,
    under_way: UnderWay,
    merging: Merging,
    /// The highest sequence number in the index: a higher one needs no removal before it is added.
    highest: Option<u64>,
}

impl Writer {
    /// Opens the writer.
    ///
    /// # Errors
    /// Fails also when the folder has a writer already.
    pub(super) fn open(index: Index, options: WriterOptions) -> Result<Self> {
        let threads = options.threads.max(1);
        let tantivy_options = IndexWriterOptions::builder()
            .num_worker_threads(threads)
            .memory_budget_per_thread((options.memory_bytes / threads).max(THREAD_MEMORY_BYTES_MIN))
            .num_merge_threads(1)
            .build();
        let tantivy = index
            .tantivy
            .writer_with_options(tantivy_options)
            .during("open")?;
        tantivy.set_merge_policy(match options.merging {
            Merging::Background => Box::new(merge_policy()),
            Merging::InCommit => Box::new(NoMergePolicy),
        });
        let highest = index.highest_sequence()?;
        Ok(Self {
            index,
            tantivy,
            under_way: UnderWay::default(),
            merging: options.merging,
            highest,
        })
    }

    /// Adds a document, in place of any older one of the same sequence number.
    pub fn add(&mut self, document: &Document) -> Result<()> {
        if Some(document.sequence) <= self.highest {
            self.remove(document.sequence);
        }
        self.highest = self.highest.max(Some(document.sequence));
        let entry = document::entry(&self.index.fields, document);
        let bytes = document::entry_bytes(document);
        let entry = self.under_way.enter(entry, bytes);
        self.tantivy.add_document(entry).during("write")?;
        Ok(())
    }

    /// Removes the document of a sequence number; none is no error.
    pub fn remove(&mut self, sequence: u64) {
        self.tantivy
            .delete_term(Term::from_field_u64(self.index.fields.sequence, sequence));
    }

    /// Makes everything added and removed so far searchable, and writes the watermark with it.
    pub fn commit(&mut self, watermark: u64) -> Result<()> {
        let mut prepared = self.tantivy.prepare_commit().during("write")?;
        prepared.set_payload(&watermark.to_string());
        prepared.commit().during("write")?;
        if self.merging == Merging::InCommit {
            self.merge()?;
        }
        self.index.reload()
    }

    /// Merges small segments of like size, for a time when no mail comes; waits for it.
    ///
    /// Some are left, so that several threads can share a search.
    pub fn merge_in_quiet(&mut self) -> Result<()> {
        let segments = self
            .index
            .tantivy
            .searchable_segment_metas()
            .during("write")?;
        let mut policy = merge_policy();
        policy.set_min_num_segments(MERGED_IN_QUIET);
        policy.set_max_docs_before_merge(MERGED_IN_QUIET_DOCUMENTS_MAX);
        policy.set_min_layer_size(ALIKE_DOCUMENTS);
        for candidate in policy.compute_merge_candidates(&segments) {
            for some in candidate.0.chunks_exact(MERGED_IN_QUIET) {
                self.merge_segments(some)?;
            }
        }
        self.index.reload()
    }

    /// Waits for merges under way, and gives the folder free; what was not committed is dropped.
    pub fn close(self) -> Result<()> {
        self.tantivy.wait_merging_threads().during("write")?;
        self.index.reload()
    }

    fn merge(&mut self) -> Result<()> {
        loop {
            let segments = self
                .index
                .tantivy
                .searchable_segment_metas()
                .during("write")?;
            let candidates = merge_policy().compute_merge_candidates(&segments);
            if candidates.is_empty() {
                return Ok(());
            }
            for candidate in candidates {
                self.merge_segments(&candidate.0)?;
            }
        }
    }

    pub(super) fn merge_segments(&mut self, segments: &[SegmentId]) -> Result<()> {
        self.tantivy.merge(segments).wait().during("write")?;
        Ok(())
    }
}

fn merge_policy() -> LogMergePolicy {
    let mut policy = LogMergePolicy::default();
    policy.set_min_num_segments(MERGED_AT_ONCE);
    policy.set_max_docs_before_merge(MERGED_DOCUMENTS_MAX);
    policy.set_del_docs_ratio_before_merge(REMOVED_SHARE_MAX);
    policy
}
