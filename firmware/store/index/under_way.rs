//! What is on its way to the threads of the writer, bounded in bytes: tantivy's own queue counts documents only, ten thousand of them,
//! and each has its text twice.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tantivy::TantivyDocument;
use tantivy::schema::document::Document;

/// Text under way at most, in bytes: of some five thousand messages. What an import brings meanwhile and memory does not hold is read from
/// the volumes again, so less would cost it more.
const BYTES_MAX: usize = 48 << 20;

/// Text under way, in bytes, from which on somebody who waits goes on: with many entries at once, since each waking costs.
const BYTES_WAKING: usize = BYTES_MAX / 2;

/// How long somebody waits for room at most: a thread that writes out a segment takes nothing for a second or two; threads that died never
/// do, and tantivy says so when it is given the next document.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Counts the bytes under way; clones count together.
#[derive(Clone, Default)]
pub(super) struct UnderWay(Arc<(Mutex<usize>, Condvar)>);

impl UnderWay {
    /// Waits for room for an entry of about so many bytes, and takes it.
    pub(super) fn enter(&self, entry: TantivyDocument, bytes: usize) -> Entry {
        let (_, left) = &*self.0;
        let mut under_way = self.bytes();
        if *under_way + bytes > BYTES_MAX {
            let is_much = |under_way: &mut usize| *under_way > BYTES_WAKING;
            let waited = left.wait_timeout_while(under_way, WAIT_MAX, is_much);
            (under_way, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        *under_way += bytes;
        Entry {
            entry,
            _share: Share {
                under_way: self.clone(),
                bytes,
            },
        }
    }

    fn bytes(&self) -> MutexGuard<'_, usize> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes under way, until a thread takes them.
struct Share {
    under_way: UnderWay,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut under_way = self.under_way.bytes();
        let was_much = *under_way > BYTES_WAKING;
        *under_way -= self.bytes;
        if was_much && *under_way <= BYTES_WAKING {
            self.under_way.0.1.notify_all();
        }
    }
}

/// An entry that is under way until it is taken for what it is.
pub(super) struct Entry {
    entry: TantivyDocument,
    _share: Share,
}

impl Document for Entry {
    type Value<'a> = <TantivyDocument as Document>::Value<'a>;
    type FieldsValuesIter<'a> = <TantivyDocument as Document>::FieldsValuesIter<'a>;

    fn iter_fields_and_values(&self) -> Self::FieldsValuesIter<'_> {
        self.entry.iter_fields_and_values()
    }

    fn into_tantivy_document(self) -> TantivyDocument {
        self.entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{RecvTimeoutError, channel};

    #[test]
    fn an_entry_waits_until_others_were_taken() {
        let under_way = UnderWay::default();
        let enter = |bytes| under_way.enter(TantivyDocument::default(), bytes);
        // The first one always enters, however large it is.
        let large = enter(2 * BYTES_MAX);
        let (entered, told) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                drop(enter(1));
                entered.send(())
            });
            let waits = told.recv_timeout(Duration::from_millis(50));
            assert_eq!(waits, Err(RecvTimeoutError::Timeout));
            drop(large.into_tantivy_document());
            assert_eq!(told.recv(), Ok(()));
        });
        assert_eq!(*under_way.bytes(), 0);
    }
}
