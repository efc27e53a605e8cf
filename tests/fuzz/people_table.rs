//! Tables of accounts: every text is read, lines are counted right, and a table alone lets nobody see or do anything.
#![no_main]

use archive::people::{LineStep, Register, read_table};
use libfuzzer_sys::fuzz_target;

/// Lines of a table that are done; each asks for the whole register.
const DONE_MAX: usize = 20;

fuzz_target!(|bytes: &[u8]| {
    let table = String::from_utf8_lossy(bytes);
    let lines = read_table(&table);
    let most = 1 + table.matches('\n').count() as u64;
    assert!(lines.len() <= 1_002);
    assert!(lines.iter().all(|line| (1..=most).contains(&line.number)));
    let ascending = lines.windows(2).all(|two| two[0].number < two[1].number);
    assert!(ascending, "a line stands once, in its order");
    let mut register = Register::default();
    let (operator, _) = register.claim("chef", 0).expect("the first account");
    for line in lines.iter().take(DONE_MAX) {
        let outcome = register.import_line(operator, line, 0);
        assert!(line.fault.is_none() || outcome.steps.is_empty());
        assert_eq!(outcome.steps.is_empty(), outcome.events.is_empty(), "{outcome:?}");
        let again = register.clone();
        let repeated = register.import_line(operator, line, 0);
        assert!(outcome.fault.is_some() || repeated.steps.is_empty());
        assert!(!repeated.steps.contains(&LineStep::Made));
        assert!(outcome.fault.is_some() || register == again, "a line may come twice");
    }
    for account in register.accounts.values().filter(|one| one.id != operator) {
        assert!(account.roles.is_empty() && account.addresses.is_empty());
    }
});
