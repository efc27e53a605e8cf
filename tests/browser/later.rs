//! Lets two days pass in an archive that nobody serves: notices count as given, and what waits for them comes about.
//!
//! For tests of the whole system, which cannot wait for a day. It changes no rule: the archive is told of hours as its own counter would.

use archive::people::Proposal;
use service::keeper::LocalKeeper;
use service::people::People;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use store::{Clock, Moment, Options};

const USAGE: &str = "usage: later DATA";

const HOURS: u32 = 48;

const HOUR_S: u64 = 3_600;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let keeper = LocalKeeper::open(Path::new(data), options(), &mut |_| {})?;
    let people = People::of(&keeper);
    for _ in 0..HOURS {
        for notice in people.notices_due()? {
            let proposal = Proposal::from_record(&notice.proposal)?;
            people.notice_given(proposal.number, &notice.address)?;
        }
        keeper.pass(HOUR_S)?;
    }
    Ok(())
}

fn options() -> Options {
    Options {
        clock: clock(),
        boot_id: [0; 16],
        volume_bytes_max: store::VOLUME_BYTES_MAX,
        index_threads: 1,
        upkeep: store::WhenUpkeep::Never,
        follower_patience: store::FOLLOWER_PATIENCE,
    }
}

fn clock() -> Clock {
    Arc::new(|| Moment {
        at_us: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_micros() as i64),
        synchronised: false,
        uncertainty_ms: None,
    })
}
