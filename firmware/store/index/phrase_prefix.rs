//! Finds rows of words whose last word may go on from what was typed.
//!
//! The documents with the words before come first, each with the places where the next word would stand. Then every word that
//! begins as typed is looked for there: frequent ones first, which find most documents, so that of the many rare ones only
//! the documents are read, and their places only where nothing was found yet.

use std::io;

use tantivy::postings::{BlockSegmentPostings, Postings, SegmentPostings, TermInfo};
use tantivy::query::Scorer;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, InvertedIndexReader, Score, TERMINATED};

use super::phrase::{Fit, Row};

/// Documents with a word from which on it is frequent, and looked for first: below, tantivy packs them in one block.
const FREQUENT_DOCUMENTS: u32 = 128;

/// The documents of a segment in which the words before stand in a row.
///
/// Takes 4 bytes a document of the segment and 5 bytes a place; a segment has at most some million documents.
pub(super) struct Heads {
    documents: Vec<DocId>,
    /// For each document of the segment which of `documents` it is, counted from 1; 0 for none.
    rank_of: Vec<u32>,
    /// For each of `documents` where its places begin, and where the last ones end.
    starts: Vec<u32>,
    /// Places at which the next word would stand, ascending in each document.
    places: Vec<u32>,
    /// Which of the places hold a word that begins as typed.
    is_held: Vec<bool>,
    /// Which of the documents hold one.
    is_found: Vec<bool>,
    /// Documents that hold none yet.
    left: usize,
    /// Whether every place matters: how well a document fits hangs on how many hold.
    counting: bool,
}

impl Heads {
    /// Takes all documents of a row of the words before.
    pub(super) fn of(row: &mut Row, counting: bool, max_doc: DocId) -> Self {
        let mut heads = Self {
            documents: Vec::new(),
            rank_of: vec![0; max_doc as usize],
            starts: vec![0],
            places: Vec::new(),
            is_held: Vec::new(),
            is_found: Vec::new(),
            left: 0,
            counting,
        };
        while row.doc() != TERMINATED {
            heads.documents.push(row.doc());
            heads.rank_of[row.doc() as usize] = heads.documents.len() as u32;
            heads.places.extend(row.ends().iter().map(|end| end + 1));
            heads.starts.push(heads.places.len() as u32);
            row.advance();
        }
        heads.left = heads.documents.len();
        heads.is_found = vec![false; heads.left];
        heads.is_held = vec![false; heads.places.len()];
        heads
    }

    /// Looks for all words that begin with one of the forms.
    pub(super) fn go_on(
        &mut self,
        index: &InvertedIndexReader,
        forms: &[String],
    ) -> io::Result<()> {
        for form in forms {
            each_word(index, form, |word| {
                if word.doc_freq >= FREQUENT_DOCUMENTS {
                    self.look_for(index, word)?;
                }
                Ok(self.is_open())
            })?;
        }
        for form in forms {
            let mut block = None;
            each_word(index, form, |word| {
                if word.doc_freq < FREQUENT_DOCUMENTS && self.may_gain(index, word, &mut block)? {
                    self.look_for(index, word)?;
                }
                Ok(self.is_open())
            })?;
        }
        Ok(())
    }

    /// Whether another word can still change what is found.
    fn is_open(&self) -> bool {
        self.counting || self.left > 0
    }

    /// Whether the documents of a rare word are among those still open.
    fn may_gain(
        &self,
        index: &InvertedIndexReader,
        word: &TermInfo,
        block: &mut Option<BlockSegmentPostings>,
    ) -> io::Result<bool> {
        match block {
            Some(block) => index.reset_block_postings_from_terminfo(word, block)?,
            None => {
                let option = IndexRecordOption::Basic;
                *block = Some(index.read_block_postings_from_terminfo(word, option)?);
            }
        }
        let documents = block.as_ref().map_or(&[][..], BlockSegmentPostings::docs);
        Ok(documents
            .iter()
            .any(|document| self.open(*document).is_some()))
    }

    /// Gives which of the heads a document is, if it is one that a further word can change.
    fn open(&self, document: DocId) -> Option<usize> {
        let rank = self.rank_of[document as usize].checked_sub(1)? as usize;
        (self.counting || !self.is_found[rank]).then_some(rank)
    }

    fn look_for(&mut self, index: &InvertedIndexReader, word: &TermInfo) -> io::Result<()> {
        let option = IndexRecordOption::WithFreqsAndPositions;
        let mut postings: SegmentPostings = index.read_postings_from_terminfo(word, option)?;
        let mut positions = Vec::new();
        let mut document = postings.doc();
        while document != TERMINATED {
            if let Some(rank) = self.open(document) {
                postings.positions(&mut positions);
                self.hold(rank, &positions);
            }
            document = postings.advance();
        }
        Ok(())
    }

    /// Marks the places of a document at which a word stands.
    fn hold(&mut self, rank: usize, positions: &[u32]) {
        let (start, end) = (self.starts[rank] as usize, self.starts[rank + 1] as usize);
        let places = &self.places[start..end];
        let is_held = &mut self.is_held[start..end];
        let mut any = false;
        // A single word mostly stands at very few places, the words before at many.
        for position in positions {
            if let Ok(at) = places.binary_search(position) {
                is_held[at] = true;
                any = true;
            }
        }
        if any && !self.is_found[rank] {
            self.is_found[rank] = true;
            self.left -= 1;
        }
    }

    /// Gives the documents that hold a whole row.
    pub(super) fn into_scorer(self, fit: Option<Fit>) -> RowsFound {
        let found = self
            .documents
            .iter()
            .zip(&self.is_found)
            .zip(self.starts.windows(2));
        let hits = found
            .filter(|((_, is_found), _)| **is_found)
            .map(|((document, _), places)| {
                let held = &self.is_held[places[0] as usize..places[1] as usize];
                (*document, held.iter().filter(|held| **held).count() as u32)
            });
        RowsFound {
            hits: hits.collect(),
            at: 0,
            fit,
        }
    }
}

/// Calls `each` with every word that begins so, until it says that no more is needed.
fn each_word(
    index: &InvertedIndexReader,
    start: &str,
    mut each: impl FnMut(&TermInfo) -> io::Result<bool>,
) -> io::Result<()> {
    // No byte of UTF-8 is 0xff, so it comes behind all that goes on.
    let behind = [start.as_bytes(), &[0xff]].concat();
    let mut words = index.terms().range().ge(start).lt(behind).into_stream()?;
    while words.advance() && each(words.value())? {}
    Ok(())
}

/// Documents of a segment that are known already, ascending, with how often the row stands in each.
pub(super) struct RowsFound {
    hits: Vec<(DocId, u32)>,
    at: usize,
    fit: Option<Fit>,
}

impl DocSet for RowsFound {
    fn advance(&mut self) -> DocId {
        self.at = (self.at + 1).min(self.hits.len());
        self.doc()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        self.at += self.hits[self.at..].partition_point(|(document, _)| *document < target);
        self.doc()
    }

    fn doc(&self) -> DocId {
        self.hits
            .get(self.at)
            .map_or(TERMINATED, |(document, _)| *document)
    }

    fn size_hint(&self) -> u32 {
        self.hits.len() as u32
    }
}

impl Scorer for RowsFound {
    fn score(&mut self) -> Score {
        match (&self.fit, self.hits.get(self.at)) {
            (Some(fit), Some((document, count))) => fit.score(*document, *count),
            _ => 1.0,
        }
    }
}
