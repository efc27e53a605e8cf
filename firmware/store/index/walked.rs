//! Finds documents that match all of some clauses and none of others, walking frequent ones instead of seeking in them.
//!
//! tantivy's intersection and exclusion ask every clause about every candidate. A word in one of several fields is a union,
//! and asking a union costs some ten times what it costs to go on to its next document. So where candidates are many, a clause
//! is walked from end to end into a bit for each document; where they are few, it is asked as before.
//! Scores are no matter here: whoever wants them gets tantivy's own way.

use tantivy::query::{
    AllScorer, BitSetDocSet, BooleanQuery, ConstScorer, EmptyScorer, EnableScoring, Exclude,
    Explanation, Occur, Query, Scorer, Weight, intersect_scorers,
};
use tantivy::{BitSet, COLLECT_BLOCK_BUFFER_LEN, DocId, DocSet, Score, SegmentReader};

/// Documents of a clause that are walked in the time of asking it about one candidate.
///
/// Measured on 400,000 messages with words in six fields; half or double of it makes no difference that can be felt.
const WALKED_PER_ASKED: u64 = 16;

/// 1,024 candidates: asking about fewer takes no longer than making the bits of a large segment does.
///
/// Two in tests, whose segments are small.
const CANDIDATES_MIN: u64 = if cfg!(test) { 2 } else { 1_024 };

/// Finds what matches all that must and nothing that must not be; of the former there is one at least.
#[derive(Debug, Clone)]
pub(super) struct Walked(BooleanQuery);

impl Walked {
    /// Joins clauses that must, and must not, be.
    pub(super) fn new(clauses: Vec<(Occur, Box<dyn Query>)>) -> Self {
        Self(BooleanQuery::new(clauses))
    }
}

impl Query for Walked {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        if scoring.is_scoring_enabled() {
            return self.0.weight(scoring);
        }
        let weights = |wanted| {
            let clauses = self.0.clauses().iter();
            let wanted = clauses.filter(move |(occur, _)| *occur == wanted);
            wanted.map(|(_, query)| query.weight(scoring)).collect()
        };
        let must: tantivy::Result<_> = weights(Occur::Must);
        let must_not: tantivy::Result<_> = weights(Occur::MustNot);
        Ok(Box::new(WalkedWeight {
            must: must?,
            must_not: must_not?,
            explained: self.0.weight(scoring)?,
        }))
    }
}

struct WalkedWeight {
    must: Vec<Box<dyn Weight>>,
    must_not: Vec<Box<dyn Weight>>,
    explained: Box<dyn Weight>,
}

impl Weight for WalkedWeight {
    fn scorer(&self, segment: &SegmentReader, _: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let max = segment.max_doc();
        let Some(mut must) = opened(&self.must, segment)? else {
            return Ok(Box::new(EmptyScorer));
        };
        must.retain(|clause| !clause.is::<AllScorer>());
        let mut must_not = Vec::new();
        for clause in &self.must_not {
            must_not.push(clause.scorer(segment, 1.0)?);
        }
        must_not.retain(|clause| !clause.is::<EmptyScorer>());
        if must.is_empty() {
            must.push(Box::new(AllScorer::new(max)));
        }
        must.sort_by_key(|clause| clause.cost());
        walk(&mut must, &mut must_not, max);
        let found = intersect_scorers(must, max);
        Ok(if must_not.is_empty() {
            found
        } else {
            Box::new(Exclude::new(found, must_not))
        })
    }

    fn explain(&self, segment: &SegmentReader, document: DocId) -> tantivy::Result<Explanation> {
        self.explained.explain(segment, document)
    }
}

/// Opens clauses in a segment; none when one of them matches nothing there.
fn opened(
    clauses: &[Box<dyn Weight>],
    segment: &SegmentReader,
) -> tantivy::Result<Option<Vec<Box<dyn Scorer>>>> {
    let mut all = Vec::new();
    for clause in clauses {
        let clause = clause.scorer(segment, 1.0)?;
        if clause.is::<EmptyScorer>() {
            return Ok(None);
        }
        all.push(clause);
    }
    Ok(Some(all))
}

/// Puts one set of documents in the place of the first clause, which is the cheapest, and of all that are worth walking.
fn walk(must: &mut Vec<Box<dyn Scorer>>, must_not: &mut Vec<Box<dyn Scorer>>, max: DocId) {
    let pays = |candidates: u64, clause: &dyn Scorer| {
        candidates >= CANDIDATES_MIN && clause.cost() <= candidates * WALKED_PER_ASKED
    };
    let least = must[0].cost();
    let mut others = must[1..].iter().chain(&*must_not);
    if !others.any(|clause| pays(least, &**clause)) {
        return;
    }
    let mut found = documents(&mut *must.remove(0), max);
    must.retain_mut(|clause| {
        let walked = pays(found.len() as u64, &**clause);
        if walked {
            found = common(&found, &mut **clause, max);
        }
        !walked
    });
    must_not.retain_mut(|clause| {
        let walked = pays(found.len() as u64, &**clause);
        if walked {
            each(&mut **clause, |document| found.remove(document));
        }
        !walked
    });
    let found = ConstScorer::new(BitSetDocSet::from(found), 1.0);
    must.insert(0, Box::new(found));
}

/// Gives the documents of a clause.
fn documents(clause: &mut dyn Scorer, max: DocId) -> BitSet {
    if clause.is::<AllScorer>() {
        return BitSet::with_max_value_and_full(max);
    }
    let mut found = BitSet::with_max_value(max);
    each(clause, |document| {
        found.insert(document);
    });
    found
}

/// Gives those documents of a clause that were found.
fn common(found: &BitSet, clause: &mut dyn Scorer, max: DocId) -> BitSet {
    let mut common = BitSet::with_max_value(max);
    each(clause, |document| {
        if found.contains(document) {
            common.insert(document);
        }
    });
    common
}

fn each(clause: &mut dyn Scorer, mut what: impl FnMut(DocId)) {
    let mut some = [0; COLLECT_BLOCK_BUFFER_LEN];
    loop {
        let count = clause.fill_buffer(&mut some);
        some[..count].iter().for_each(|document| what(*document));
        if count < some.len() {
            return;
        }
    }
}
