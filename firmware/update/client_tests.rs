//! Attacks on a client, one row each: what was trusted, what the repository shows then, how the run ends, and what is trusted after it.

use crate::client::{Client, Options, Stale};
use crate::error::UpdateError;
use crate::key::KeyTypes;
use crate::test_repository::{
    Follower, NOW, PAST, ROOT_KEY, SNAPSHOT_KEY, TARGETS_KEY, TIMESTAMP_KEY, TestRepository, key,
    key_id, outcome, sign,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Versions of root, timestamp, snapshot and targets that are kept.
type Versions = [u64; 4];

fn versions(follower: &Follower) -> Versions {
    ["root", "timestamp", "snapshot", "targets"].map(|role| follower.version(role))
}

/// A follower that is up to date with version 1 of everything sees a changed repository.
#[track_caller]
fn check(change: impl FnOnce(&mut TestRepository), expected: &str, trusted: Versions) -> Follower {
    let mut repository = TestRepository::new();
    let mut follower = Follower::new(&repository);
    assert_eq!(outcome(follower.refresh(&repository)), "done");
    change(&mut repository);
    assert_eq!(outcome(follower.refresh(&repository)), expected);
    assert_eq!(versions(&follower), trusted);
    follower
}

/// Delegations and targets are set up, then a target is looked for: what comes of it, and the delegated roles that were asked.
#[track_caller]
fn check_search(
    set_up: impl FnOnce(&mut TestRepository),
    path: &str,
    expected: &str,
    asked: &[&str],
) {
    let mut repository = TestRepository::new();
    set_up(&mut repository);
    repository.publish_all();
    let mut follower = Follower::new(&repository);
    let mut client = follower.refresh(&repository).expect("a run");
    let found = follower.search(&mut client, &repository, path);
    assert_eq!(outcome(found), expected);
    assert_eq!(follower.asked, asked);
}

fn patterns(patterns: &[&str]) -> Value {
    json!({"paths": patterns})
}

fn terminating(patterns: &[&str]) -> Value {
    json!({"paths": patterns, "terminating": true})
}

#[test]
fn a_first_run_asks_for_each_file_once() {
    let repository = TestRepository::new();
    let mut follower = Follower::new(&repository);
    assert_eq!(outcome(follower.refresh(&repository)), "done");
    assert_eq!(
        follower.asked,
        [
            "2.root.json",
            "timestamp.json",
            "1.snapshot.json",
            "1.targets.json"
        ]
    );
    for role in ["root", "timestamp", "snapshot", "targets"] {
        assert_eq!(
            follower.kept[role],
            repository.files[&format!("{role}.json")]
        );
    }
}

#[test]
fn nothing_new_is_nothing_to_fetch() {
    let follower = check(|_| {}, "done", [1, 1, 1, 1]);
    assert_eq!(follower.asked, ["2.root.json", "timestamp.json"]);
    let follower = check(|r| r.publish(&["timestamp"]), "done", [1, 2, 1, 1]);
    assert_eq!(follower.asked, ["2.root.json", "timestamp.json"]);
}

#[test]
fn what_is_new_is_followed() {
    check(TestRepository::publish_all, "done", [1, 2, 2, 2]);
    let with_digests = |r: &mut TestRepository| {
        r.lists_digests = true;
        r.publish_all();
    };
    check(with_digests, "done", [1, 2, 2, 2]);
}

#[test]
fn a_repository_without_consistent_snapshots_is_followed() {
    let change = |r: &mut TestRepository| {
        r.role("root")["consistent_snapshot"] = json!(false);
        r.publish(&["root"]);
        r.publish_all();
    };
    let follower = check(change, "done", [2, 2, 2, 2]);
    assert_eq!(
        follower.asked,
        [
            "2.root.json",
            "3.root.json",
            "timestamp.json",
            "snapshot.json",
            "targets.json"
        ]
    );
}

#[test]
fn nobody_signs_without_the_key() {
    for (role, roots, trusted) in [
        ("root", 0, [1, 1, 1, 1]),
        ("timestamp", 1, [2, 1, 1, 1]),
        ("snapshot", 1, [2, 2, 1, 1]),
        ("targets", 1, [2, 2, 2, 1]),
    ] {
        let change = |r: &mut TestRepository| {
            r.signers.insert(role.to_owned(), vec![99]);
            r.publish(&["root"]);
            r.publish_all();
        };
        let refused =
            format!("metadata is refused: {role}: signed by 0 of the 1 keys that are needed");
        let follower = check(change, &refused, trusted);
        assert_eq!(follower.version("root"), 1 + roots);
    }
}

#[test]
fn signed_content_must_not_differ_in_anything() {
    for (name, other) in [
        ("version", json!(9)),
        ("expires", json!(NOW)),
        ("x", json!(null)),
    ] {
        let change = |r: &mut TestRepository| {
            r.publish(&["timestamp"]);
            let mut file: Value = serde_json::from_slice(&r.files["timestamp.json"]).expect("JSON");
            file["signed"][name] = other;
            r.files
                .insert("timestamp.json".into(), file.to_string().into());
        };
        let refused = "metadata is refused: timestamp: signed by 0 of the 1 keys that are needed";
        check(change, refused, [1, 1, 1, 1]);
    }
}

#[test]
fn unknown_fields_are_signed_for() {
    let change = |r: &mut TestRepository| {
        r.role("root")["x-new"] = json!({"b": [1, null, "ü\n"], "a": true});
        r.role("root")["keys"][key_id(TIMESTAMP_KEY)]["x-new"] = json!(1);
        r.role("root")["roles"]["root"]["x-new"] = json!(1);
        r.role("root")["roles"]["x-role"] = json!({});
        r.role("timestamp")["meta"]["x-new.json"] = json!(1);
        r.publish(&["root"]);
        r.publish_all();
    };
    check(change, "done", [2, 2, 2, 2]);
}

#[test]
fn the_bytes_that_came_are_kept() {
    let change = |r: &mut TestRepository| {
        r.publish(&["timestamp"]);
        let file = r.files.get_mut("timestamp.json").expect("it is there");
        file.extend(b" \n\t");
    };
    let follower = check(change, "done", [1, 2, 1, 1]);
    assert!(follower.kept["timestamp"].ends_with(b" \n\t"));
}

#[test]
fn a_threshold_counts_different_keys() {
    let few = "metadata is refused: snapshot: signed by 1 of the 2 keys that are needed";
    let change = |r: &mut TestRepository| {
        r.set_keys("snapshot", &[SNAPSHOT_KEY, 30], 2);
        r.publish(&["root"]);
        r.publish_all();
    };
    check(change, few, [2, 2, 0, 1]);
    // The same key under another id.
    let change = |r: &mut TestRepository| {
        r.set_keys("snapshot", &[SNAPSHOT_KEY, 30], 2);
        r.role("root")["keys"][key_id(30)] = key(SNAPSHOT_KEY);
        r.publish(&["root", "snapshot"]);
        let mut file: Value = serde_json::from_slice(&r.files["2.snapshot.json"]).expect("JSON");
        let mut second = file["signatures"][0].clone();
        second["keyid"] = json!(key_id(30));
        file["signatures"]
            .as_array_mut()
            .expect("a list")
            .push(second);
        r.files
            .insert("2.snapshot.json".into(), file.to_string().into());
        r.publish(&["timestamp"]);
    };
    check(change, few, [2, 2, 0, 1]);
    let change = |r: &mut TestRepository| {
        r.set_keys("snapshot", &[SNAPSHOT_KEY, 30, 31], 2);
        r.signers
            .insert("snapshot".into(), vec![31, 99, SNAPSHOT_KEY]);
        r.publish(&["root"]);
        r.publish_all();
    };
    check(change, "done", [2, 2, 2, 2]);
}

#[test]
fn no_key_signs_or_stands_in_a_role_twice() {
    let change = |r: &mut TestRepository| {
        r.signers.insert("timestamp".into(), vec![TIMESTAMP_KEY; 2]);
        r.publish(&["timestamp"]);
    };
    let refused = "metadata is refused: timestamp: two signatures by one key: key 2";
    check(change, refused, [1, 1, 1, 1]);
    let change = |r: &mut TestRepository| {
        r.set_keys("timestamp", &[TIMESTAMP_KEY; 2], 2);
        r.publish(&["root"]);
    };
    let refused = "metadata is refused: root: malformed: key id twice: \"key 2\"";
    check(change, refused, [1, 1, 1, 1]);
}

#[test]
fn a_signature_that_is_none_spoils_no_other() {
    let change = |r: &mut TestRepository| {
        r.set_keys("timestamp", &[TIMESTAMP_KEY, 20], 1);
        r.publish(&["root", "timestamp"]);
        let mut file: Value = serde_json::from_slice(&r.files["timestamp.json"]).expect("JSON");
        let signatures = file["signatures"].as_array_mut().expect("a list");
        signatures.insert(0, json!({"keyid": key_id(20), "sig": "no digits"}));
        r.files
            .insert("timestamp.json".into(), file.to_string().into());
    };
    check(change, "done", [2, 2, 1, 1]);
}

#[test]
fn a_root_needs_the_keys_of_both() {
    let check_rotation = |signers: &[u8], threshold: usize, expected: &str| {
        let change = |r: &mut TestRepository| {
            r.set_keys("root", &[11, 12], threshold);
            r.signers.insert("root".into(), signers.to_vec());
            r.publish(&["root"]);
        };
        let trusted = if expected == "done" { 2 } else { 1 };
        check(change, expected, [trusted, 1, 1, 1]);
    };
    let few = |valid, threshold| {
        format!(
            "metadata is refused: root: signed by {valid} of the {threshold} keys that are needed"
        )
    };
    check_rotation(&[ROOT_KEY, 11], 1, "done");
    check_rotation(&[ROOT_KEY, 11, 12], 2, "done");
    check_rotation(&[11, 12], 1, &few(0, 1));
    check_rotation(&[ROOT_KEY], 1, &few(0, 1));
    check_rotation(&[ROOT_KEY, 12], 2, &few(1, 2));
}

#[test]
fn every_root_on_the_way_is_followed() {
    let change = |r: &mut TestRepository| {
        for seed in 11..16 {
            r.set_keys("root", &[seed], 1);
            r.signers.get_mut("root").expect("it is there").push(seed);
            r.publish(&["root"]);
            r.signers.insert("root".into(), vec![seed]);
        }
    };
    let follower = check(change, "done", [6, 1, 1, 1]);
    assert_eq!(
        follower.asked[..6],
        [2, 3, 4, 5, 6, 7].map(|n| format!("{n}.root.json"))
    );
}

#[test]
fn a_root_is_exactly_the_next_one() {
    for found in [1, 3] {
        let change = |r: &mut TestRepository| {
            r.role("root")["version"] = json!(found);
            r.publish_again("root");
            let root = r.files["root.json"].clone();
            r.files.insert("2.root.json".into(), root);
        };
        let refused = format!("metadata is refused: root: version is {found} instead of 2");
        check(change, &refused, [1, 1, 1, 1]);
    }
}

#[test]
fn a_run_begins_with_the_root_that_is_kept() {
    let mut repository = TestRepository::new();
    let first = Follower::new(&repository);
    repository.set_keys("root", &[11], 1);
    repository.signers.insert("root".into(), vec![ROOT_KEY, 11]);
    repository.publish(&["root"]);
    let mut follower = first.clone();
    assert_eq!(outcome(follower.refresh(&repository)), "done");
    // Whoever holds the old root key cannot lead back a follower who went on.
    let mut forged = TestRepository::new();
    forged.publish(&["root"]);
    forged.publish(&["root"]);
    forged.publish_all();
    assert_eq!(
        outcome(follower.refresh(&forged)),
        "metadata is refused: root: signed by 0 of the 1 keys that are needed"
    );
    assert_eq!(follower.version("root"), 2);
}

#[test]
fn roots_without_end_are_followed_in_parts() {
    let mut repository = TestRepository::new();
    let mut follower = Follower::new(&repository);
    follower.options.limits.root_rotations = 3;
    for _ in 0..5 {
        repository.publish(&["root"]);
    }
    assert_eq!(outcome(follower.refresh(&repository)), "done");
    assert_eq!(follower.version("root"), 4);
    assert_eq!(outcome(follower.refresh(&repository)), "done");
    assert_eq!(follower.version("root"), 6);
}

#[test]
fn only_a_root_that_is_not_there_ends_the_roots() {
    let failing = |r: &mut TestRepository| {
        r.broken.push("2.root.json".into());
        r.publish(&["root"]);
        r.publish_all();
    };
    check(
        failing,
        "cannot fetch: 2.root.json: server answers with status: 500",
        [1, 1, 1, 1],
    );
    let endless = |r: &mut TestRepository| {
        r.role("root")["x"] = json!("x".repeat(512 * 1024));
        r.publish(&["root"]);
    };
    let refused = "cannot fetch: 2.root.json: longer than it may be, in bytes: 524288";
    check(endless, refused, [1, 1, 1, 1]);
}

#[test]
fn what_must_be_there_is_missed() {
    for (file, trusted) in [
        ("timestamp.json", [1, 1, 1, 1]),
        ("2.snapshot.json", [1, 2, 1, 1]),
        ("2.targets.json", [1, 2, 2, 1]),
    ] {
        let change = |r: &mut TestRepository| {
            r.publish_all();
            r.files.remove(file);
        };
        check(
            change,
            &format!("the repository lacks a file: {file}"),
            trusted,
        );
    }
}

#[test]
fn what_has_expired_is_refused() {
    for (role, trusted) in [
        ("root", [2, 1, 1, 1]),
        ("timestamp", [2, 1, 1, 1]),
        ("snapshot", [2, 2, 1, 1]),
        ("targets", [2, 2, 2, 1]),
    ] {
        // The moment itself is too late already.
        for expires in [PAST, NOW] {
            let change = |r: &mut TestRepository| {
                r.role(role)["expires"] = json!(expires);
                r.publish(&["root"]);
                r.publish_all();
            };
            check(
                change,
                &format!("metadata is refused: {role}: expired: {expires}"),
                trusted,
            );
        }
    }
}

#[test]
fn only_the_last_root_may_not_have_expired() {
    let change = |r: &mut TestRepository| {
        let expires = r.role("root")["expires"].clone();
        r.role("root")["expires"] = json!(PAST);
        r.publish(&["root"]);
        r.role("root")["expires"] = expires;
        r.publish(&["root"]);
    };
    check(change, "done", [3, 1, 1, 1]);
}

/// A year later, everything that is kept has expired.
#[track_caller]
fn check_later(options: impl FnOnce(&mut Options), republish: bool, expected: &str) {
    let mut repository = TestRepository::new();
    let mut follower = Follower::new(&repository);
    assert_eq!(outcome(follower.refresh(&repository)), "done");
    if republish {
        for role in ["root", "timestamp", "snapshot", "targets"] {
            repository.role(role)["expires"] = json!("2028-01-01T00:00:00Z");
        }
        repository.publish(&["root"]);
        repository.publish_all();
    }
    options(&mut follower.options);
    assert_eq!(outcome(follower.refresh(&repository)), expected);
}

#[test]
fn expired_metadata_that_are_kept_stop_nothing() {
    let later = "2027-11-22T00:00:00Z".parse().expect("a moment");
    check_later(|o| o.now = later, true, "done");
    let refused = "metadata is refused: root: expired: 2026-12-22T00:00:00Z";
    check_later(|o| o.now = later, false, refused);
}

#[test]
fn a_clock_that_is_set_back_revives_nothing() {
    let floor = "2027-11-22T00:00:00Z".parse().expect("a moment");
    let refused = "metadata is refused: root: expired: 2026-12-22T00:00:00Z";
    check_later(|o| o.clock_floor = floor, false, refused);
}

#[test]
fn the_timestamp_that_is_kept_must_not_expire_either() {
    let change = |r: &mut TestRepository| {
        r.role("root")["expires"] = json!("2028-01-01T00:00:00Z");
        r.publish(&["root"]);
    };
    let mut follower = check(change, "done", [2, 1, 1, 1]);
    let mut repository = TestRepository::new();
    change(&mut repository);
    follower.options.now = "2027-11-22T00:00:00Z".parse().expect("a moment");
    assert_eq!(
        outcome(follower.refresh(&repository)),
        "metadata is refused: timestamp: expired: 2026-12-22T00:00:00Z"
    );
}

#[test]
fn a_person_may_confirm_what_expired_but_not_root_and_targets() {
    for (role, expected) in [
        ("timestamp", "done"),
        ("snapshot", "done"),
        (
            "root",
            "metadata is refused: root: expired: 2026-11-21T00:00:00Z",
        ),
        (
            "targets",
            "metadata is refused: targets: expired: 2026-11-21T00:00:00Z",
        ),
    ] {
        let mut repository = TestRepository::new();
        let mut follower = Follower::new(&repository);
        follower.options.stale = Stale::Confirmed;
        repository.role(role)["expires"] = json!(PAST);
        repository.publish(&["root"]);
        repository.publish_all();
        assert_eq!(outcome(follower.refresh(&repository)), expected);
        // Nobody can confirm that it goes back.
        repository.role("timestamp")["version"] = json!(1);
        repository.publish_again("timestamp");
        let back = "metadata is refused: timestamp: version of timestamp goes back from 2 to 1";
        let expected = if role == "root" { expected } else { back };
        assert_eq!(outcome(follower.refresh(&repository)), expected);
    }
}

#[test]
fn no_version_goes_back() {
    let mut repository = TestRepository::new();
    let old = repository.files["timestamp.json"].clone();
    repository.publish_all();
    let mut follower = Follower::new(&repository);
    assert_eq!(outcome(follower.refresh(&repository)), "done");
    let check_back = |change: &dyn Fn(&mut TestRepository), expected: &str| {
        let mut repository = TestRepository::new();
        repository.publish_all();
        change(&mut repository);
        assert_eq!(outcome(follower.clone().refresh(&repository)), expected);
    };
    check_back(
        &|r| drop(r.files.insert("timestamp.json".into(), old.clone())),
        "metadata is refused: timestamp: version of timestamp goes back from 2 to 1",
    );
    check_back(
        &|r| {
            r.role("timestamp")["meta"]["snapshot.json"] = json!({"version": 1});
            r.publish(&["timestamp"]);
        },
        "metadata is refused: timestamp: version of snapshot goes back from 2 to 1",
    );
    check_back(
        &|r| {
            r.role("snapshot")["meta"]["targets.json"] = json!({"version": 1});
            r.publish(&["snapshot", "timestamp"]);
        },
        "metadata is refused: snapshot: version of targets.json goes back from 2 to 1",
    );
    check_back(
        &|r| {
            r.role("snapshot")["meta"] = json!({});
            r.publish(&["snapshot", "timestamp"]);
        },
        "metadata is refused: snapshot: no longer lists: targets.json",
    );
}

#[test]
fn files_of_different_times_do_not_mix() {
    let old_under_new_name = |file: &'static str| {
        move |r: &mut TestRepository| {
            let old = r.files[&format!("1.{file}.json")].clone();
            r.publish_all();
            r.files.insert(format!("2.{file}.json"), old);
        }
    };
    let refused = "metadata is refused: snapshot: version is 1 instead of 2";
    check(old_under_new_name("snapshot"), refused, [1, 2, 1, 1]);
    let refused = "metadata is refused: targets: version is 1 instead of 2";
    check(old_under_new_name("targets"), refused, [1, 2, 2, 1]);
}

#[test]
fn digests_that_are_listed_must_hold() {
    for (role, trusted) in [("snapshot", [1, 2, 1, 1]), ("targets", [1, 2, 2, 1])] {
        let mut repository = TestRepository::new();
        let mut follower = Follower::new(&repository);
        assert_eq!(outcome(follower.refresh(&repository)), "done");
        repository.lists_digests = true;
        repository.publish_all();
        // Signed as it has to be, and as long as it has to be.
        repository.role(role)["expires"] = json!("2026-12-23T00:00:00Z");
        repository.publish_again(role);
        let refused = outcome(follower.refresh(&repository));
        let expected = format!("metadata is refused: {role}: wrong digest, expected: ");
        assert!(refused.starts_with(&expected), "{refused}");
        assert_eq!(versions(&follower), trusted);
        let file = repository.files.get_mut(&format!("2.{role}.json"));
        file.expect("it is there").push(b' ');
        let refused = outcome(follower.refresh(&repository));
        let expected = format!("cannot fetch: 2.{role}.json: longer than it may be, in bytes: ");
        assert!(refused.starts_with(&expected), "{refused}");
    }
}

#[test]
fn a_timestamp_that_changes_without_a_new_version_is_discarded() {
    let mut repository = TestRepository::new();
    let mut follower = Follower::new(&repository);
    assert!(
        !follower
            .refresh(&repository)
            .expect("a run")
            .timestamp_changed()
    );
    repository.publish(&["targets", "snapshot"]);
    repository.publish_again("timestamp");
    let client = follower.refresh(&repository).expect("a run");
    assert!(client.timestamp_changed());
    assert_eq!(follower.asked, ["2.root.json", "timestamp.json"]);
    assert_eq!(versions(&follower), [1, 1, 1, 1]);
}

#[test]
fn nothing_else_changes_without_a_new_version() {
    for (role, roles, trusted) in [
        ("snapshot", &["timestamp"][..], [1, 2, 1, 1]),
        ("targets", &["snapshot", "timestamp"], [1, 2, 2, 1]),
    ] {
        let change = |r: &mut TestRepository| {
            r.role(role)["x-other"] = json!(1);
            r.lists_digests = true;
            r.publish_again(role);
            r.publish(roles);
        };
        let refused = format!("metadata is refused: {role}: changed without a new version: 1");
        check(change, &refused, trusted);
        // Another signature over the same is no change.
        let change = |r: &mut TestRepository| {
            r.signers.get_mut(role).expect("it is there").push(99);
            r.lists_digests = true;
            r.publish_again(role);
            r.publish(roles);
        };
        check(change, "done", trusted);
    }
}

#[test]
fn versions_that_were_driven_up_are_forgotten_with_their_keys() {
    for rotated in [
        &["timestamp"][..],
        &["snapshot"],
        &["timestamp", "snapshot"],
    ] {
        let mut repository = TestRepository::new();
        let mut follower = Follower::new(&repository);
        for role in rotated {
            repository.role(role)["version"] = json!(1_000_000);
        }
        repository.publish_all();
        assert_eq!(outcome(follower.refresh(&repository)), "done");
        for (role, seed) in rotated.iter().zip([20, 30]) {
            repository.set_keys(role, &[seed], 1);
            repository.signers.insert((*role).to_owned(), vec![seed]);
            repository.role(role)["version"] = json!(1);
        }
        repository.publish(&["root"]);
        repository.publish_all();
        assert_eq!(
            outcome(follower.refresh(&repository)),
            "done",
            "{rotated:?}"
        );
        for role in rotated {
            assert_eq!(follower.version(role), 2);
        }
    }
}

#[test]
fn a_key_that_is_only_added_lets_nothing_be_played_back() {
    let mut repository = TestRepository::new();
    let old = repository.files["timestamp.json"].clone();
    repository.publish_all();
    let mut follower = Follower::new(&repository);
    assert_eq!(outcome(follower.refresh(&repository)), "done");
    repository.set_keys("timestamp", &[TIMESTAMP_KEY, 20], 1);
    repository.publish(&["root"]);
    repository.files.insert("timestamp.json".into(), old);
    let back = "metadata is refused: timestamp: version of timestamp goes back from 2 to 1";
    assert_eq!(outcome(follower.refresh(&repository)), back);
    // Nor afterwards, when the next run begins with the new root.
    assert_eq!(outcome(follower.refresh(&repository)), back);
    assert_eq!(versions(&follower), [2, 2, 2, 2]);
}

#[test]
fn a_timestamp_of_rotated_keys_is_not_played_back() {
    let mut repository = TestRepository::new();
    let mut follower = Follower::new(&repository);
    let old = repository.files["timestamp.json"].clone();
    repository.publish_all();
    assert_eq!(outcome(follower.refresh(&repository)), "done");
    repository.set_keys("timestamp", &[20], 1);
    repository.signers.insert("timestamp".into(), vec![20]);
    repository.publish(&["root"]);
    repository.publish_all();
    let new = repository
        .files
        .insert("timestamp.json".into(), old)
        .expect("a target");
    let refused = "metadata is refused: timestamp: signed by 0 of the 1 keys that are needed";
    assert_eq!(outcome(follower.refresh(&repository)), refused);
    assert_eq!(versions(&follower), [2, 0, 0, 2]);
    repository.files.insert("timestamp.json".into(), new);
    assert_eq!(outcome(follower.refresh(&repository)), "done");
    assert_eq!(versions(&follower), [2, 3, 3, 3]);
}

#[test]
fn a_key_that_was_away_for_one_root_has_forgotten_its_versions() {
    let mut repository = TestRepository::new();
    let mut follower = Follower::new(&repository);
    repository.role("timestamp")["version"] = json!(1_000_000);
    repository.publish_all();
    assert_eq!(outcome(follower.refresh(&repository)), "done");
    repository.set_keys("timestamp", &[20], 1);
    repository.publish(&["root"]);
    repository.set_keys("timestamp", &[TIMESTAMP_KEY], 1);
    repository.publish(&["root"]);
    repository.role("timestamp")["version"] = json!(2);
    repository.publish(&["timestamp"]);
    assert_eq!(outcome(follower.refresh(&repository)), "done");
    assert_eq!(follower.version("timestamp"), 3);
}

#[test]
fn metadata_of_another_role_are_refused() {
    let change = |r: &mut TestRepository| {
        r.role("snapshot")["meta"]["snapshot.json"] = json!({"version": 1});
        let snapshot = sign(&r.says["snapshot"], &[TIMESTAMP_KEY]);
        r.files.insert("timestamp.json".into(), snapshot);
    };
    check(
        change,
        "metadata is refused: timestamp: of another type: \"snapshot\"",
        [1, 1, 1, 1],
    );
    let change = |r: &mut TestRepository| {
        r.role("timestamp")["spec_version"] = json!("2.0.0");
        r.publish(&["timestamp"]);
    };
    let refused =
        "metadata is refused: timestamp: of an unknown version of the specification: \"2.0.0\"";
    check(change, refused, [1, 1, 1, 1]);
}

#[test]
fn malformed_metadata_are_refused() {
    for (role, pointer, value) in [
        ("timestamp", "/expires", json!("tomorrow")),
        ("timestamp", "/expires", json!("2026-12-22T00:00:00+01:00")),
        ("timestamp", "/version", json!(0)),
        ("timestamp", "/version", json!(-1)),
        ("timestamp", "/version", json!("2")),
        ("timestamp", "/meta", json!({})),
        (
            "timestamp",
            "/meta/snapshot.json",
            json!({"version": 1, "hashes": {"md5": "00"}}),
        ),
        ("snapshot", "/meta", json!([])),
        (
            "targets",
            "/targets",
            json!({"a": {"length": 1, "hashes": {}}}),
        ),
        (
            "targets",
            "/targets",
            json!({"a": {"length": -1, "hashes": {"sha256": "00"}}}),
        ),
        ("root", "/roles/timestamp/threshold", json!(0)),
        ("root", "/roles/timestamp", Value::Null),
        ("root", "/keys", json!([])),
    ] {
        let mut repository = TestRepository::new();
        let mut follower = Follower::new(&repository);
        assert_eq!(outcome(follower.refresh(&repository)), "done");
        let version = repository.says[role]["version"].as_u64().expect("a number") + 1;
        repository.role(role)["version"] = json!(version);
        *repository.role(role).pointer_mut(pointer).expect("a field") = value;
        repository.publish_again(role);
        repository.publish(match role {
            "targets" => &["snapshot", "timestamp"],
            "snapshot" => &["timestamp"],
            _ => &[],
        });
        let refused = outcome(follower.refresh(&repository));
        let expected = format!("metadata is refused: {role}: malformed: ");
        assert!(
            refused.starts_with(&expected),
            "{role} {pointer}: {refused}"
        );
        assert_eq!(follower.version(role), 1);
    }
}

#[test]
fn a_number_with_a_fraction_is_refused() {
    let change = |r: &mut TestRepository| {
        let file = String::from_utf8(r.files["timestamp.json"].clone()).expect("UTF-8");
        let file = file.replace("\"version\":1,", "\"version\":1.5,");
        r.files.insert("timestamp.json".into(), file.into_bytes());
    };
    let file = check(|_| {}, "done", [1, 1, 1, 1]).kept["timestamp"].clone();
    assert!(
        String::from_utf8(file)
            .expect("UTF-8")
            .contains("\"version\":1}")
    );
    let change = |r: &mut TestRepository| {
        change(r);
        let file = String::from_utf8(r.files["timestamp.json"].clone()).expect("UTF-8");
        let file = file.replace("\"version\":1}", "\"version\":1.5}");
        r.files.insert("timestamp.json".into(), file.into_bytes());
    };
    let refused = "metadata is refused: timestamp: number that cannot be signed: 1.5";
    check(change, refused, [1, 1, 1, 1]);
}

/// Nothing that was not signed is ever kept, wherever a file breaks off or a byte differs.
#[test]
fn truncated_and_damaged_files_are_never_kept() {
    let mut repository = TestRepository::new();
    let mut before = Follower::new(&repository);
    assert_eq!(outcome(before.refresh(&repository)), "done");
    repository.publish(&["root"]);
    repository.publish_all();
    for (file, role) in [
        ("2.root.json", "root"),
        ("timestamp.json", "timestamp"),
        ("2.targets.json", "targets"),
    ] {
        let whole = repository.files[file].clone();
        let said: Value = serde_json::from_slice(&whole).expect("JSON");
        let mut show = |bytes: Vec<u8>| {
            repository.files.insert(file.to_owned(), bytes);
            let mut follower = before.clone();
            let refused = follower.refresh(&repository).is_err();
            let kept: Value = serde_json::from_slice(&follower.kept[role]).expect("JSON");
            assert!(refused != (kept["signed"] == said["signed"]));
            refused
        };
        for length in 0..whole.len() {
            assert!(show(whole[..length].to_vec()), "{file} cut at {length}");
        }
        for index in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 0x10;
            show(damaged);
        }
        assert!(!show(whole.clone()));
        repository.files.insert(file.to_owned(), whole);
    }
}

#[test]
fn garbage_that_is_kept_is_as_good_as_nothing() {
    let mut repository = TestRepository::new();
    let mut follower = Follower::new(&repository);
    assert_eq!(outcome(follower.refresh(&repository)), "done");
    repository.publish_all();
    for role in ["timestamp", "snapshot", "targets"] {
        let mut follower = follower.clone();
        follower.kept.insert(role.to_owned(), b"garbage".to_vec());
        assert_eq!(outcome(follower.refresh(&repository)), "done");
        assert_eq!(versions(&follower), [1, 2, 2, 2]);
    }
    // A timestamp that was lost lets none come back that is older than the snapshot.
    let old = repository.files["timestamp.json"].clone();
    repository.publish_all();
    let mut ahead = follower.clone();
    assert_eq!(outcome(ahead.refresh(&repository)), "done");
    ahead.kept.remove("timestamp");
    repository.files.insert("timestamp.json".into(), old);
    let back = "metadata is refused: timestamp: version of snapshot goes back from 3 to 2";
    assert_eq!(outcome(ahead.refresh(&repository)), back);
    for (root, expected) in [
        (
            &b"garbage"[..],
            "metadata is refused: root: malformed: expected value at line 1 column 1",
        ),
        (
            &follower.kept["timestamp"],
            "metadata is refused: root: of another type: \"timestamp\"",
        ),
    ] {
        let client = Client::new(root.to_vec(), follower.options.clone());
        assert_eq!(outcome(client), expected);
    }
}

/// The power fails after each step of a run through rotations of all keys; the next run ends where one run would have.
#[test]
fn a_run_that_breaks_off_anywhere_is_taken_up() {
    let mut repository = TestRepository::new();
    let mut before = Follower::new(&repository);
    assert_eq!(outcome(before.refresh(&repository)), "done");
    for (role, seed) in [("timestamp", 20), ("snapshot", 30), ("targets", 40)] {
        repository.set_keys(role, &[seed], 1);
        repository.signers.insert(role.to_owned(), vec![seed]);
        repository.publish(&["root"]);
    }
    repository.publish_all();
    let mut whole = before.clone();
    assert_eq!(outcome(whole.refresh(&repository)), "done");
    let mut steps = 0;
    loop {
        let mut follower = before.clone();
        follower.steps_max = steps;
        assert_eq!(outcome(follower.refresh(&repository)), "done");
        let ended = follower.kept == whole.kept;
        follower.steps_max = usize::MAX;
        assert_eq!(outcome(follower.refresh(&repository)), "done");
        assert_eq!(follower.kept, whole.kept, "after {steps} steps");
        if ended {
            break;
        }
        steps += 1;
    }
    assert!(steps > 10, "{steps}");
}

#[test]
fn a_box_counts_ed25519_alone() {
    let mut repository = TestRepository::new();
    let mut follower = Follower::new(&repository);
    follower.options.key_types = KeyTypes::All;
    assert_eq!(outcome(follower.refresh(&repository)), "done");
    let other =
        json!({"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": "x"}});
    repository.role("root")["keys"][key_id(TIMESTAMP_KEY)] = other;
    repository.publish(&["root"]);
    follower.options.key_types = KeyTypes::Ed25519;
    assert_eq!(
        outcome(follower.refresh(&repository)),
        "metadata is refused: timestamp: signed by 0 of the 1 keys that are needed"
    );
}

#[test]
fn targets_are_found_in_their_role() {
    let set_up = |r: &mut TestRepository| {
        r.add_target("targets", "a", b"content");
        r.delegate("targets", "A", 50, patterns(&["*"]));
        r.add_target("A", "a", b"other");
        r.add_target("A", "b", b"content");
    };
    check_search(set_up, "a", "done", &[]);
    check_search(set_up, "b", "done", &["1.A.json"]);
    check_search(set_up, "c", "no such target: c", &["1.A.json"]);
}

#[test]
fn a_target_is_what_was_signed() {
    let mut repository = TestRepository::new();
    repository.add_target("targets", "x/image.efi", b"content");
    repository.role("targets")["targets"]["x/image.efi"]["custom"] = json!({"board": "x86_64"});
    repository.publish_all();
    let mut follower = Follower::new(&repository);
    let mut client = follower.refresh(&repository).expect("a run");
    let target = follower
        .search(&mut client, &repository, "x/image.efi")
        .expect("a target");
    assert_eq!((target.path(), target.length()), ("x/image.efi", 7));
    assert_eq!(target.custom()["board"], "x86_64");
    let file = client.file_path(&target);
    assert!(file.starts_with("x/b2d1d285b5199c85f988d03649c37e44fd3dde01e5d69c50fef90651962f48110e9340b60d49a479c4c0b53f5f07d690686dd87d2481937a512e8b85ee7c617f."), "{file}");
    assert!(file.ends_with(".image.efi"), "{file}");
    for (content, expected) in [
        (&b"content"[..], true),
        (b"contend", false),
        (b"content ", false),
        (b"", false),
    ] {
        let mut check = target.check();
        check.update(content);
        assert_eq!(check.finish().is_ok(), expected);
    }
}

#[test]
fn delegations_are_walked_depth_first_in_their_order() {
    let set_up = |r: &mut TestRepository| {
        r.delegate("targets", "A", 50, patterns(&["*"]));
        r.delegate("targets", "B", 51, patterns(&["*"]));
        r.delegate("A", "C", 52, patterns(&["*"]));
        r.delegate("A", "D", 53, patterns(&["*"]));
        r.add_target("D", "d", b"");
        r.add_target("B", "d", b"");
    };
    check_search(
        set_up,
        "x",
        "no such target: x",
        &["1.A.json", "1.C.json", "1.D.json", "1.B.json"],
    );
    check_search(set_up, "d", "done", &["1.A.json", "1.C.json", "1.D.json"]);
}

#[test]
fn a_terminating_delegation_ends_the_search() {
    let set_up = |r: &mut TestRepository| {
        r.delegate("targets", "A", 50, patterns(&["*"]));
        r.delegate("targets", "B", 51, patterns(&["*"]));
        r.delegate("A", "C", 52, terminating(&["c*"]));
        r.delegate("A", "D", 53, patterns(&["*"]));
        r.delegate("C", "E", 54, patterns(&["*"]));
        for role in ["D", "B"] {
            r.add_target(role, "c", b"");
            r.add_target(role, "x", b"");
        }
    };
    check_search(
        set_up,
        "c",
        "no such target: c",
        &["1.A.json", "1.C.json", "1.E.json"],
    );
    // It terminates only what it is about.
    check_search(set_up, "x", "done", &["1.A.json", "1.D.json"]);
}

#[test]
fn a_role_provides_only_what_all_before_it_may() {
    let set_up = |r: &mut TestRepository| {
        r.delegate("targets", "A", 50, patterns(&["a/*"]));
        r.delegate("A", "B", 51, patterns(&["*", "*/*", "a/b/*"]));
        for path in ["a/x", "x", "a/b/x", "b/x"] {
            r.add_target("A", path, b"");
            r.add_target("B", path, b"");
        }
    };
    check_search(set_up, "a/x", "done", &["1.A.json"]);
    check_search(set_up, "x", "no such target: x", &[]);
    check_search(set_up, "a/b/x", "no such target: a/b/x", &[]);
    check_search(set_up, "b/x", "no such target: b/x", &[]);
}

#[test]
fn paths_are_told_apart_by_their_digests() {
    // The SHA-256 of "a" begins with ca97, that of "b" with 3e23.
    let set_up = |r: &mut TestRepository| {
        r.delegate(
            "targets",
            "A",
            50,
            json!({"path_hash_prefixes": ["ca9", "000"]}),
        );
        r.add_target("A", "a", b"");
        r.add_target("A", "b", b"");
    };
    check_search(set_up, "a", "done", &["1.A.json"]);
    check_search(set_up, "b", "no such target: b", &[]);
}

#[test]
fn circles_end_and_long_ways_are_cut() {
    let circle = |r: &mut TestRepository| {
        r.delegate("targets", "A", 50, patterns(&["*"]));
        r.delegate("A", "B", 51, patterns(&["*"]));
        r.delegate("B", "A", 50, patterns(&["*"]));
        r.delegate("B", "B", 51, patterns(&["*"]));
    };
    check_search(circle, "x", "no such target: x", &["1.A.json", "1.B.json"]);
    let long = |count: u8| {
        move |r: &mut TestRepository| {
            for seed in 0..count {
                r.delegate("targets", &format!("r{seed}"), 50 + seed, patterns(&["*"]));
            }
        }
    };
    let asked: Vec<String> = (0..31).map(|seed| format!("1.r{seed}.json")).collect();
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    check_search(long(31), "x", "no such target: x", &asked);
    check_search(
        long(32),
        "x",
        "too many roles to ask for a target, more than: 32",
        &asked,
    );
}

#[test]
fn a_delegated_role_is_believed_only_as_far_as_who_delegates_now() {
    let mut repository = TestRepository::new();
    repository.delegate("targets", "A", 50, patterns(&["a/*"]));
    repository.delegate("targets", "B", 51, patterns(&["b/*"]));
    repository.delegate("A", "shared", 52, patterns(&["*/*"]));
    repository.delegate("B", "shared", 53, patterns(&["*/*"]));
    repository.add_target("shared", "a/x", b"");
    repository.add_target("shared", "b/x", b"");
    repository.publish_all();
    let mut follower = Follower::new(&repository);
    let mut client = follower.refresh(&repository).expect("a run");
    let found = follower.search(&mut client, &repository, "a/x");
    assert_eq!(outcome(found), "done");
    let found = follower.search(&mut client, &repository, "b/x");
    let refused = "metadata is refused: shared: signed by 0 of the 1 keys that are needed";
    assert_eq!(outcome(found), refused);
}

#[test]
fn the_same_client_looks_for_many_targets() {
    let mut repository = TestRepository::new();
    repository.delegate("targets", "A", 50, patterns(&["*"]));
    repository.add_target("A", "a", b"");
    repository.add_target("targets", "b", b"");
    repository.publish_all();
    let mut follower = Follower::new(&repository);
    let mut client = follower.refresh(&repository).expect("a run");
    for (path, expected, asked) in [
        ("a", "done", &["1.A.json"][..]),
        ("b", "done", &[]),
        ("c", "no such target: c", &[]),
        ("a", "done", &[]),
    ] {
        let found = follower.search(&mut client, &repository, path);
        assert_eq!(outcome(found), expected);
        // What was fetched once is kept.
        assert_eq!(follower.asked, asked);
    }
}

#[test]
fn no_target_is_looked_for_before_all_is_up_to_date() {
    let mut repository = TestRepository::new();
    repository.add_target("targets", "a", b"");
    repository.publish_all();
    let follower = Follower::new(&repository);
    let mut client = Client::new(follower.kept["root"].clone(), follower.options).expect("a root");
    let result = client.search("a");
    assert!(matches!(result, Err(UpdateError::NoSuchTarget(_))));
}

#[test]
fn delegations_that_are_odd_are_refused() {
    let malformed = |how: Value, name: &'static str| {
        let mut repository = TestRepository::new();
        repository.delegate("targets", "A", 50, patterns(&["*"]));
        repository.delegate("targets", "B", 51, how);
        repository.role("targets")["delegations"]["roles"][1]["name"] = json!(name);
        repository.publish_all();
        outcome(Follower::new(&repository).refresh(&repository))
    };
    for (how, name, expected) in [
        (patterns(&["*"]), "B", "done"),
        (patterns(&["*"]), "A", "role is delegated to twice: \"A\""),
        (
            patterns(&["*"]),
            "root",
            "delegated role has the name of a top-level role: \"root\"",
        ),
        (
            patterns(&["*"]),
            "targets",
            "delegated role has the name of a top-level role: \"targets\"",
        ),
        (
            json!({}),
            "B",
            "delegation must have either paths or path_hash_prefixes: \"B\"",
        ),
        (
            json!({"paths": [], "path_hash_prefixes": []}),
            "B",
            "delegation must have either paths or path_hash_prefixes: \"B\"",
        ),
    ] {
        let expected = match expected {
            "done" => expected.to_owned(),
            fault => format!("metadata is refused: targets: malformed: {fault}"),
        };
        assert_eq!(malformed(how, name), expected);
    }
}

#[test]
fn roles_stay_in_their_folder_whatever_their_name() {
    for (name, expected, asked) in [
        ("../root", "done", &["1...%2Froot.json"][..]),
        ("?x=#", "done", &["1.%3Fx%3D%23.json"]),
        ("..", "unusable name: \"..\"", &[]),
    ] {
        let set_up = |r: &mut TestRepository| {
            r.delegate("targets", name, 50, patterns(&["*"]));
            r.add_target(name, "a", b"");
        };
        let mut repository = TestRepository::new();
        set_up(&mut repository);
        repository.publish_all();
        let quoted: BTreeMap<_, _> = repository
            .files
            .iter()
            .map(|(file, bytes)| {
                let file = file.replace('/', "%2F").replace('?', "%3F");
                (file.replace('=', "%3D").replace('#', "%23"), bytes.clone())
            })
            .collect();
        repository.files = quoted;
        let mut follower = Follower::new(&repository);
        let mut client = follower.refresh(&repository).expect("a run");
        let found = follower.search(&mut client, &repository, "a");
        assert_eq!(outcome(found), expected);
        assert_eq!(follower.asked, asked);
    }
}

#[test]
fn a_role_that_the_snapshot_does_not_list_is_not_even_fetched() {
    let mut repository = TestRepository::new();
    repository.delegate("targets", "A", 50, patterns(&["*"]));
    repository.publish(&["A", "targets"]);
    repository.role("snapshot")["meta"]
        .as_object_mut()
        .expect("an object")
        .remove("A.json");
    repository.publish(&["snapshot", "timestamp"]);
    let mut follower = Follower::new(&repository);
    let found = follower.find(&repository, "a");
    assert_eq!(
        outcome(found),
        "metadata is refused: A: not listed in the snapshot"
    );
    assert_eq!(follower.asked, Vec::<String>::new());
}

#[test]
fn delegated_roles_expire_and_need_their_keys() {
    let check_role = |change: &dyn Fn(&mut TestRepository), expected: &str| {
        let mut repository = TestRepository::new();
        repository.delegate("targets", "A", 50, patterns(&["*"]));
        repository.add_target("A", "a", b"");
        change(&mut repository);
        repository.publish_all();
        let mut follower = Follower::new(&repository);
        assert_eq!(outcome(follower.find(&repository, "a")), expected);
        assert_eq!(follower.version("A"), u64::from(expected == "done"));
    };
    check_role(&|_| {}, "done");
    check_role(
        &|r| r.role("A")["expires"] = json!(PAST),
        "metadata is refused: A: expired: 2026-11-21T00:00:00Z",
    );
    // The key of the role above is none of it.
    check_role(
        &|r| drop(r.signers.insert("A".into(), vec![TARGETS_KEY])),
        "metadata is refused: A: signed by 0 of the 1 keys that are needed",
    );
}

/// Every place in a JSON value, as pointers.
fn places(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(values) => values
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    let below = children.iter().flat_map(|(name, value)| {
        let below = places(value).into_iter();
        below.map(move |place| format!("/{name}{place}"))
    });
    std::iter::once(String::new()).chain(below).collect()
}

/// Values that stand in metadata somewhere, and some that never do.
fn odd_values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!({"": {"": [0]}})),
        Just(json!("2026-12-22T00:00:00Z")),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

proptest! {
    /// Whatever the owners sign, a run ends, keeps nothing that it refuses, and leaves what the next one can begin with.
    #[test]
    fn whatever_is_signed_stops_no_later_run(
        role in prop_oneof![Just("root"), Just("timestamp"), Just("snapshot"), Just("targets"), Just("A")],
        place: prop::sample::Index,
        odd in odd_values(),
    ) {
        let mut repository = TestRepository::new();
        repository.delegate("targets", "A", 50, terminating(&["*", "a?[b-c]"]));
        repository.delegate("A", "B", 51, json!({"path_hash_prefixes": ["0", "ca"]}));
        repository.add_target("A", "a", b"content");
        repository.publish_all();
        let mut follower = Follower::new(&repository);
        prop_assert_eq!(outcome(follower.find(&repository, "a")), "done");
        let version = follower.version(role);
        repository.role(role)["version"] = json!(version + 1);
        let places = places(repository.role(role));
        let place = &places[1 + place.index(places.len() - 1)];
        *repository.role(role).pointer_mut(place).expect("a place") = odd;
        repository.publish_again(role);
        repository.publish(match role {
            "root" | "timestamp" => &[],
            "snapshot" => &["timestamp"],
            _ => &["snapshot", "timestamp"],
        });
        let found = outcome(follower.find(&repository, "x"));
        if found.starts_with(&format!("metadata is refused: {role}: ")) {
            prop_assert_eq!(follower.version(role), version, "{}", found);
        }
        let next = Client::new(follower.kept["root"].clone(), follower.options);
        prop_assert!(next.is_ok());
    }
}
