//! Finds documents that match all of some clauses and none of others, walking frequent ones instead of seeking in them.
//!
//! tantivy's intersection and exclusion ask every clause about every candidate. A word in one of several fields is a union,
//! and asking a union costs some fifty times what it costs to walk on in a list of documents. So where candidates are many, all
//! lists of a clause are walked from end to end into a bit for each document; where they are few, it is asked as before.
//! Scores are no matter here: whoever wants them gets tantivy's own way.

use tantivy::query::{
    AllScorer, BitSetDocSet, BooleanQuery, ConstScorer, EmptyScorer, EnableScoring, Exclude,
    Explanation, Occur, Query, Scorer, Weight, intersect_scorers,
};
use tantivy::{BitSet, DocId, Score, SegmentReader};

use super::range::RangeScorer;

/// Documents of a clause that are walked in the time of asking it about one candidate.
///
/// Measured on 400,000 messages with words in six fields; half or double of it makes no difference that can be felt.
const WALKED_PER_ASKED: u64 = 24;

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
        let clauses = |wanted| {
            let clauses = self.0.clauses().iter();
            let wanted = clauses.filter(move |(occur, _)| *occur == wanted);
            wanted
                .map(|(_, query)| Clause::of(&**query, scoring))
                .collect::<tantivy::Result<_>>()
        };
        Ok(Box::new(WalkedWeight {
            must: clauses(Occur::Must)?,
            must_not: clauses(Occur::MustNot)?,
            explained: self.0.weight(scoring)?,
        }))
    }
}

/// A clause, and the alternatives of which it takes one.
struct Clause {
    whole: Box<dyn Weight>,
    alternatives: Vec<Box<dyn Weight>>,
}

impl Clause {
    fn of(query: &dyn Query, scoring: EnableScoring<'_>) -> tantivy::Result<Self> {
        let mut alternatives = Vec::new();
        gather_alternatives(query, scoring, &mut alternatives)?;
        Ok(Self {
            whole: query.weight(scoring)?,
            alternatives,
        })
    }

    fn open(&self, segment: &SegmentReader) -> tantivy::Result<OpenClause<'_>> {
        Ok(OpenClause {
            clause: self,
            asked: self.whole.scorer(segment, 1.0)?,
        })
    }
}

fn gather_alternatives(
    query: &dyn Query,
    scoring: EnableScoring<'_>,
    into: &mut Vec<Box<dyn Weight>>,
) -> tantivy::Result<()> {
    match query.downcast_ref::<BooleanQuery>() {
        Some(joined)
            if joined
                .clauses()
                .iter()
                .all(|(occur, _)| *occur == Occur::Should) =>
        {
            let mut alternatives = joined.clauses().iter();
            alternatives.try_for_each(|(_, one)| gather_alternatives(&**one, scoring, into))
        }
        _ => {
            into.push(query.weight(scoring)?);
            Ok(())
        }
    }
}

/// A clause in one segment.
struct OpenClause<'a> {
    clause: &'a Clause,
    /// Nothing of it has been walked.
    asked: Box<dyn Scorer>,
}

impl OpenClause<'_> {
    /// Tells whether it is cheaper to walk it than to ask it about so many candidates. A column is asked at no cost.
    fn is_worth_walking(&self, candidates: u64) -> bool {
        candidates >= CANDIDATES_MIN
            && self.asked.cost() <= candidates.saturating_mul(WALKED_PER_ASKED)
            && !self.asked.is::<RangeScorer>()
    }

    /// Walks all its documents, some of them more than once, in no order.
    fn walk(&self, segment: &SegmentReader, mut what: impl FnMut(DocId)) -> tantivy::Result<()> {
        let mut alternatives = self.clause.alternatives.iter();
        alternatives.try_for_each(|one| {
            one.for_each_no_score(segment, &mut |some| {
                some.iter().for_each(|document| what(*document));
            })
        })
    }
}

struct WalkedWeight {
    must: Vec<Clause>,
    must_not: Vec<Clause>,
    explained: Box<dyn Weight>,
}

impl Weight for WalkedWeight {
    fn scorer(&self, segment: &SegmentReader, _: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut must = Vec::new();
        for clause in &self.must {
            let clause = clause.open(segment)?;
            if clause.asked.is::<EmptyScorer>() {
                return Ok(Box::new(EmptyScorer));
            }
            must.push(clause);
        }
        must.retain(|clause| !clause.asked.is::<AllScorer>());
        let must_not = self.must_not.iter().map(|clause| clause.open(segment));
        let mut must_not: Vec<_> = must_not.collect::<tantivy::Result<_>>()?;
        must_not.retain(|clause| !clause.asked.is::<EmptyScorer>());
        must.sort_by_key(|clause| clause.asked.cost());
        let found = walk(segment, &mut must, &mut must_not)?;
        let mut asked: Vec<_> = must.into_iter().map(|clause| clause.asked).collect();
        asked.extend(found.map(|found| {
            let found = BitSetDocSet::from(found);
            Box::new(ConstScorer::new(found, 1.0)) as Box<dyn Scorer>
        }));
        if asked.is_empty() {
            asked.push(Box::new(AllScorer::new(segment.max_doc())));
        }
        let found = intersect_scorers(asked, segment.max_doc());
        if must_not.is_empty() {
            return Ok(found);
        }
        let must_not: Vec<_> = must_not.into_iter().map(|clause| clause.asked).collect();
        Ok(Box::new(Exclude::new(found, must_not)))
    }

    fn explain(&self, segment: &SegmentReader, document: DocId) -> tantivy::Result<Explanation> {
        self.explained.explain(segment, document)
    }
}

/// Takes out the first of the clauses that must be, which is the cheapest, and all that are worth walking, and gives what is
/// left of the documents; none when nothing is worth it.
fn walk(
    segment: &SegmentReader,
    must: &mut Vec<OpenClause<'_>>,
    must_not: &mut Vec<OpenClause<'_>>,
) -> tantivy::Result<Option<BitSet>> {
    let max = segment.max_doc();
    let least = must.first().map_or(max.into(), |first| first.asked.cost());
    let others = must.iter().skip(1).chain(&*must_not);
    if !others.into_iter().any(|one| one.is_worth_walking(least)) {
        return Ok(None);
    }
    let mut found = match must.is_empty() {
        true => BitSet::with_max_value_and_full(max),
        false => common(segment, &must.remove(0), None)?,
    };
    for clause in take_worth_walking(must, found.len()) {
        found = common(segment, &clause, Some(&found))?;
    }
    for clause in take_worth_walking(must_not, found.len()) {
        clause.walk(segment, |document| found.remove(document))?;
    }
    Ok(Some(found))
}

fn take_worth_walking<'a>(
    clauses: &mut Vec<OpenClause<'a>>,
    candidates: usize,
) -> Vec<OpenClause<'a>> {
    let walked = clauses.extract_if(.., |one| one.is_worth_walking(candidates as u64));
    walked.collect()
}

/// Gives the documents of a clause, those alone that were found before if there is such a thing.
fn common(
    segment: &SegmentReader,
    clause: &OpenClause<'_>,
    found: Option<&BitSet>,
) -> tantivy::Result<BitSet> {
    let mut common = BitSet::with_max_value(segment.max_doc());
    clause.walk(segment, |document| {
        if found.is_none_or(|found| found.contains(document)) {
            common.insert(document);
        }
    })?;
    Ok(common)
}
