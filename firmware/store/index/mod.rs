//! The full-text index: which messages hold these words, and may be seen by this asker.
//!
//! This is the only place that knows tantivy. The index is derived: it can be thrown away and made again from the
//! volumes, and it says itself up to where it follows them ([`Index::watermark`]). Access is a part of every query, so
//! that counts, too, tell an asker only of messages that he may see. Texts are not kept here: a hit is a sequence number.
//!
//! `schema` names the fields, `tokenizer` makes their words, `document` turns a message into an entry, `writer` adds
//! entries, `under_way` bounds those that wait for its threads, `compile` turns a query and its asker into tantivy's, `pairs` finds frequent words in a row, `phrase`, `phrase_prefix`,
//! `range` and `walked` add what tantivy has not, `search` runs it, `newest` finds the newest matches by the `stretches` of each segment,
//! `copies` makes one result of the copies of a message, `all` gives every match for exports, `snippet` marks words in a text. `directory` puts all of it on
//! our disk, and gives tantivy nothing whose `checksum` does not hold.

mod all;
mod checksum;
mod compile;
mod copies;
mod directory;
mod document;
mod newest;
mod pairs;
mod phrase;
mod phrase_prefix;
mod range;
mod schema;
mod search;
mod snippet;
mod stretches;
mod tokenizer;
mod under_way;
mod walked;
mod writer;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use archive::access::Asker;
use archive::query::Query;
use tantivy::collector::{Collector, Count};
use tantivy::directory::Directory;
use tantivy::query::EnableScoring;
use tantivy::store::Compressor;
use tantivy::{
    Executor, IndexBuilder, IndexReader, IndexSettings, ReloadPolicy, Searcher, TantivyError,
};

pub use directory::DiskDirectory;
pub(crate) use directory::IN_USE;
pub use document::{Document, Person};
pub use schema::{SCHEMA, folder_name};
pub use search::{Found, Order, Page, REACH_MAX};
pub use snippet::{Snippet, snippet};
pub use writer::{MEMORY_BYTES, Merging, Writer, WriterOptions};

use crate::error::{Error, Result};
use all::All;
use schema::Fields;
use search::Hit;
use stretches::AllStretches;

/// Threads that share a search for words in a row: with more, the others of a computer would feel each search.
const SEARCH_THREADS_MAX: usize = 4;

/// An open index; copies of it are the same index.
#[derive(Clone)]
pub struct Index {
    tantivy: tantivy::Index,
    reader: IndexReader,
    fields: Fields,
    /// Threads for searches that read places, started by the first of them.
    threads: Arc<OnceLock<Executor>>,
    stretches: Arc<AllStretches>,
    /// See [`copies::GROUPS_AT_ONCE`].
    groups_at_once: usize,
}

impl Index {
    /// Opens the index in a directory, or makes an empty one there.
    ///
    /// # Errors
    /// [`Error::Index`] also when what lies there is damaged or has another schema: remove it and build it again.
    pub fn open(directory: impl Into<Box<dyn Directory>>) -> Result<Self> {
        let (schema, fields) = schema::schema();
        let settings = IndexSettings {
            docstore_compression: Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let tantivy = IndexBuilder::new()
            .schema(schema)
            .settings(settings)
            .tokenizers(tokenizer::tokenizers())
            .open_or_create(directory)
            .during("open")?;
        let reader = tantivy
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .during("open")?;
        Ok(Self {
            tantivy,
            reader,
            fields,
            threads: Arc::default(),
            stretches: Arc::new(AllStretches::new()),
            groups_at_once: copies::GROUPS_AT_ONCE,
        })
    }

    /// Opens the writer; there can be one at a time.
    pub fn writer(&self, options: WriterOptions) -> Result<Writer> {
        Writer::open(self.clone(), options)
    }

    /// Gives the watermark of the last commit; none before the first.
    pub fn watermark(&self) -> Result<Option<u64>> {
        let payload = self
            .tantivy
            .load_metas()
            .during("read the watermark of")?
            .payload;
        Ok(payload.and_then(|watermark| watermark.parse().ok()))
    }

    /// Finds the messages that match a query and that the asker may see.
    ///
    /// Copies of a message count and show once: of those found, the one with the lowest number. Self-test messages are
    /// hidden unless `with_self_tests`.
    pub fn search(
        &self,
        query: &Query,
        asker: &Asker,
        page: Page,
        with_self_tests: bool,
    ) -> Result<Found> {
        let scored = page.limit > 0 && page.order == Order::Relevance;
        let run = self.run(query, scored);
        let query = compile::compile(&self.fields, query, asker, with_self_tests, scored);
        if page.limit == 0 && !copies::are_in(&run.searcher).during("search")? {
            let count = run.collect(&*query, &Count).during("search")? as u64;
            return Ok(Found {
                count,
                ..Found::default()
            });
        }
        let stretches = self.stretches.of(&run.searcher).during("search")?;
        let found = search::search(&run, &*query, page, &stretches, self.groups_at_once);
        let (count, hits) = found.during("search")?;
        let copies = self.other_copies(&run, &hits, asker, with_self_tests);
        Ok(Found {
            count,
            copies: copies.during("search")?,
            hits: hits.into_iter().map(|hit| hit.sequence).collect(),
            lacks_from: None,
        })
    }

    /// Gives for each hit its other copies that the asker may see.
    fn other_copies(
        &self,
        run: &Run,
        hits: &[Hit],
        asker: &Asker,
        with_self_tests: bool,
    ) -> tantivy::Result<Vec<Vec<u64>>> {
        let mut others = copies::others(&run.searcher, self.fields.first_copy, hits)?;
        if others.iter().any(|others| !others.is_empty()) {
            let all = others.iter().flatten().copied();
            let query = compile::compile_numbers(&self.fields, all, asker, with_self_tests);
            let seen = run.collect(&*query, &All)?;
            for others in &mut others {
                others.retain(|other| seen.binary_search(other).is_ok());
            }
        }
        Ok(others)
    }

    /// Prepares a search: on several threads where places are read, since that is most work by far.
    fn run(&self, query: &Query, scored: bool) -> Run {
        let reads_places = compile::reads_places(query, scored);
        let threads = reads_places.then(|| self.threads.get_or_init(start_threads));
        Run {
            searcher: self.reader.searcher(),
            executor: threads.cloned().unwrap_or(Executor::SingleThread),
        }
    }

    /// Gives the sequence numbers of all matches that the asker may see, ascending, with every copy.
    pub fn all(&self, query: &Query, asker: &Asker, with_self_tests: bool) -> Result<Vec<u64>> {
        let run = self.run(query, false);
        let query = compile::compile(&self.fields, query, asker, with_self_tests, false);
        run.collect(&*query, &All).during("search")
    }

    /// Names the files that the segments of the last commit may have, in the index's folder.
    pub(crate) fn counting_files(&self) -> Result<HashSet<PathBuf>> {
        let commit = self.tantivy.load_metas().during("list the files of")?;
        Ok(commit.list_segment_files())
    }

    /// Names the files of the last commit, in the index's folder, whose checksum does not hold.
    pub(crate) fn damaged_files(&self) -> Result<Vec<PathBuf>> {
        let check = || self.tantivy.validate_checksum().during("check");
        // A merge may take a file away between its being listed and read; three in a row do not.
        let damaged = check().or_else(|_| check()).or_else(|_| check())?;
        let mut damaged: Vec<PathBuf> = damaged.into_iter().collect();
        damaged.sort();
        Ok(damaged)
    }

    /// Shows the last commit to the searches that follow.
    fn reload(&self) -> Result<()> {
        self.reader.reload().during("reload")?;
        let searcher = self.reader.searcher();
        self.stretches.of(&searcher).map(drop).during("reload")
    }

    /// Gives the highest sequence number of the last commit.
    fn highest_sequence(&self) -> Result<Option<u64>> {
        let mut highest = None;
        for segment in self.reader.searcher().segment_readers() {
            let sequences = segment.fast_fields().u64(schema::SEQUENCE).during("read")?;
            highest = highest.max(Some(sequences.max_value()));
        }
        Ok(highest)
    }
}

/// A search under way: what it sees, and on which threads.
struct Run {
    searcher: Searcher,
    executor: Executor,
}

impl Run {
    /// Runs through all matches.
    fn collect<C: Collector>(
        &self,
        query: &dyn tantivy::query::Query,
        collector: &C,
    ) -> tantivy::Result<C::Fruit> {
        let scoring = if collector.requires_scoring() {
            EnableScoring::enabled_from_searcher(&self.searcher)
        } else {
            EnableScoring::disabled_from_searcher(&self.searcher)
        };
        self.searcher
            .search_with_executor(query, collector, &self.executor, scoring)
    }
}

/// Starts the threads; where the system gives none, searches run on that of who asks.
fn start_threads() -> Executor {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    match processors.min(SEARCH_THREADS_MAX) {
        1 => Executor::SingleThread,
        count => Executor::multi_thread(count, "search-").unwrap_or(Executor::SingleThread),
    }
}

/// Names the operation of a tantivy error.
trait IndexContext<T> {
    /// Adds what was tried: a verb.
    fn during(self, operation: &'static str) -> Result<T>;
}

impl<T> IndexContext<T> for tantivy::Result<T> {
    fn during(self, operation: &'static str) -> Result<T> {
        self.map_err(|source: TantivyError| Error::Index {
            operation,
            source: Box::new(source),
        })
    }
}

#[cfg(test)]
mod tests;
