//! What the archive tells the machine beneath it on standard output, on a box: when updates may be installed and what is under way, and, while a version is
//! on trial, what it lacks (`appliance::facts` has the subjects).

use crate::host;
use crate::output::line;
use service::self_test::SelfTest;
use service::web::{Site, UpdateFacts};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// 10 seconds between two self-tests, and between two looks at what is under way.
const EVERY: Duration = Duration::from_secs(10);

/// 3 o'clock, while nobody has chosen another hour.
const USUAL_HOUR: u8 = 3;

/// Begins to report, until the process ends.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn begin(site: Arc<Site>, test: SelfTest) -> io::Result<()> {
    let report = move || {
        let mut told = None;
        loop {
            let facts = site.update_facts(host::now_s() as i64);
            let is_told = told == Some(facts) || tell(facts).is_ok();
            told = is_told.then_some(facts);
            if appliance::is_on_trial() {
                let missing = test.missing();
                let each = missing.iter().map(|(name, why)| format!("{name}: {why}"));
                // PID 1 that hears nothing takes the archive for closed.
                let _ = line(format_args!(
                    "proofs: {}",
                    each.collect::<Vec<_>>().join("; ")
                ));
            }
            thread::sleep(EVERY);
        }
    };
    let begun = thread::Builder::new().name("reports".to_owned());
    begun.spawn(report).map(drop)
}

fn tell(facts: UpdateFacts) -> Result<(), crate::output::Exit> {
    let hour = facts.hour.unwrap_or(USUAL_HOUR);
    line(format_args!("window: {hour} {}", facts.ahead_s))?;
    line(format_args!("exports: {}", facts.exports))
}
