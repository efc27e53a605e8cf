//! What the archive knows of but cannot give back any more, since it lies in damage. When such mail comes again it is stored anew.
//!
//! It is looked for only in volumes in which something is known not to hold (`known_damage`): to read every message that comes again would
//! cost more than to take it in.

use crate::catalog::{CatalogView, Place};
use crate::engine::Shared;
use crate::error::{Error, Result};
use archive::{ContentRef, Digest};
use std::collections::HashMap;

/// What of a message is lost.
#[derive(Default)]
pub(crate) struct Lost {
    /// The number under which the message is known, when its record is.
    pub(crate) message: Option<u64>,
    /// Contents, and where they do not hold.
    pub(crate) contents: HashMap<Digest, Place>,
}

impl Lost {
    /// Finds what is lost of the message with this digest, and of contents.
    pub(crate) fn find(
        shared: &Shared,
        message: &Digest,
        contents: impl Iterator<Item = ContentRef>,
    ) -> Result<Self> {
        let mut lost = Self::default();
        if !shared.damage.is_any() {
            return Ok(lost);
        }
        let view = shared.catalog.read()?;
        lost.message = lost_message(shared, &view, message)?;
        for content in contents {
            let place = place_of_lost(shared, &view, &content.digest)?;
            lost.contents
                .extend(place.map(|place| (content.digest, place)));
        }
        Ok(lost)
    }
}

/// The number of the message with this digest, when its record cannot be read.
fn lost_message(shared: &Shared, view: &CatalogView, digest: &Digest) -> Result<Option<u64>> {
    let Some(number) = view.message(digest)? else {
        return Ok(None);
    };
    let place = view.leaf(number)?.map(|(_, place)| place);
    if place.is_some_and(|place| !shared.damage.is_in(place.volume)) {
        return Ok(None);
    }
    shared.reader.forget_frames();
    let read = shared.reader.leaf(view, number).map(drop);
    Ok(is_lost(read)?.then_some(number))
}

/// Where a content lies that the catalog knows but that cannot be read whole; none when all is well with it, or it is not known.
pub(crate) fn place_of_lost(
    shared: &Shared,
    view: &CatalogView,
    digest: &Digest,
) -> Result<Option<Place>> {
    let Some((length_bytes, place)) = view.content(digest)? else {
        return Ok(None);
    };
    if !shared.damage.is_in(place.volume) {
        return Ok(None);
    }
    let content = ContentRef {
        digest: *digest,
        length_bytes,
    };
    shared.reader.forget_frames();
    let read = shared.reader.check_content(view, content);
    Ok(is_lost(read)?.then_some(place))
}

/// Tells damage from a failure of something else.
fn is_lost(read: Result<()>) -> Result<bool> {
    match read {
        Ok(()) => Ok(false),
        Err(Error::Damaged { .. } | Error::Disk { .. } | Error::NotFound(_)) => Ok(true),
        Err(error) => Err(error),
    }
}
