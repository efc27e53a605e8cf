//! A repository in memory for tests, which can be made to lie in every way, and a reader of it that keeps what the client wants kept.

use crate::client::{Answer, Client, Limits, Options, Stale, Step};
use crate::error::{FetchError, UpdateError, chain};
use crate::hex;
use crate::key::KeyTypes;
use crate::metadata::Target;
use crate::repository::Repository;
use crate::time::Time;
use aws_lc_rs::digest::{SHA256, SHA512, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};

/// What time it is in tests, unless they say otherwise.
pub(crate) const NOW: &str = "2026-11-22T00:00:00Z";
/// Past by then.
pub(crate) const PAST: &str = "2026-11-21T00:00:00Z";
const FUTURE: &str = "2026-12-22T00:00:00Z";

/// The keys of the top-level roles at the beginning. Any other number is a key, too.
pub(crate) const ROOT_KEY: u8 = 1;
pub(crate) const TIMESTAMP_KEY: u8 = 2;
pub(crate) const SNAPSHOT_KEY: u8 = 3;
pub(crate) const TARGETS_KEY: u8 = 4;

/// What its owners sign and its server gives out.
pub(crate) struct TestRepository {
    /// What each role says; tests change it and publish.
    pub(crate) says: BTreeMap<String, Value>,
    /// Which keys sign each role.
    pub(crate) signers: BTreeMap<String, Vec<u8>>,
    /// Files as the server gives them out.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Files for which the server answers with an error.
    pub(crate) broken: Vec<String>,
    /// Whether length and SHA-256 of metadata are listed.
    pub(crate) lists_digests: bool,
}

impl TestRepository {
    /// Version 1 of everything, without a target.
    pub(crate) fn new() -> Self {
        let role = |seed| json!({"keyids": [key_id(seed)], "threshold": 1});
        let mut repository = Self {
            says: BTreeMap::new(),
            signers: BTreeMap::new(),
            files: BTreeMap::new(),
            broken: Vec::new(),
            lists_digests: false,
        };
        repository.add(
            "root",
            ROOT_KEY,
            json!({
                "consistent_snapshot": true,
                "keys": keys(&[ROOT_KEY, TIMESTAMP_KEY, SNAPSHOT_KEY, TARGETS_KEY]),
                "roles": {
                    "root": role(ROOT_KEY), "timestamp": role(TIMESTAMP_KEY),
                    "snapshot": role(SNAPSHOT_KEY), "targets": role(TARGETS_KEY),
                },
            }),
        );
        repository.add("timestamp", TIMESTAMP_KEY, json!({"meta": {}}));
        repository.add("snapshot", SNAPSHOT_KEY, json!({"meta": {}}));
        repository.add("targets", TARGETS_KEY, json!({"targets": {}}));
        repository.publish(&["root", "targets", "snapshot", "timestamp"]);
        repository
    }

    fn add(&mut self, role: &str, key: u8, mut says: Value) {
        says["_type"] = json!(role);
        says["spec_version"] = json!("1.0.34");
        says["version"] = json!(0);
        says["expires"] = json!(FUTURE);
        self.says.insert(role.to_owned(), says);
        self.signers.insert(role.to_owned(), vec![key]);
    }

    /// What a role says, to be changed.
    pub(crate) fn role(&mut self, role: &str) -> &mut Value {
        self.says.get_mut(role).expect("a role")
    }

    /// Signs roles under their next versions, and lists them in snapshot and timestamp, which are only published if named.
    pub(crate) fn publish(&mut self, roles: &[&str]) {
        for name in roles {
            let role = self.role(name);
            role["version"] = json!(role["version"].as_u64().expect("a version") + 1);
            self.publish_again(name);
        }
    }

    /// Signs a role under the version that it has.
    pub(crate) fn publish_again(&mut self, name: &str) {
        let bytes = sign(&self.says[name], &self.signers[name]);
        let version = &self.says[name]["version"];
        let mut listed = json!({"version": version});
        if self.lists_digests {
            listed["length"] = json!(bytes.len());
            listed["hashes"] = json!({"sha256": hex::encode(digest(&SHA256, &bytes).as_ref())});
        }
        for file in [format!("{version}.{name}.json"), format!("{name}.json")] {
            self.files.insert(file, bytes.clone());
        }
        match name {
            "root" | "timestamp" => {}
            "snapshot" => self.role("timestamp")["meta"]["snapshot.json"] = listed,
            name => self.role("snapshot")["meta"][format!("{name}.json")] = listed,
        }
    }

    /// Publishes a version for the board `box`, whose bytes are its number.
    pub(crate) fn offer(&mut self, version: &str) {
        let release = crate::release::tests::release(version);
        self.add_target("targets", &release.path(), version.as_bytes());
        let target = &mut self.role("targets")["targets"][release.path()];
        target["custom"] = json!(release);
        self.publish_all();
    }

    /// Publishes everything but the root.
    pub(crate) fn publish_all(&mut self) {
        let roles: Vec<String> = self.says.keys().cloned().collect();
        for role in roles {
            if !["root", "timestamp", "snapshot"].contains(&role.as_str()) {
                self.publish(&[&role]);
            }
        }
        self.publish(&["snapshot", "timestamp"]);
    }

    /// Gives a role other keys in the root, which is not published yet.
    pub(crate) fn set_keys(&mut self, role: &str, seeds: &[u8], threshold: usize) {
        for seed in seeds {
            self.role("root")["keys"][key_id(*seed)] = key(*seed);
        }
        let ids: Vec<String> = seeds.iter().map(|seed| key_id(*seed)).collect();
        self.role("root")["roles"][role] = json!({"keyids": ids, "threshold": threshold});
    }

    /// Makes a role delegate, behind its other delegations; what `how` says goes with it, as paths and terminating.
    pub(crate) fn delegate(&mut self, from: &str, to: &str, seed: u8, how: Value) {
        if !self.says.contains_key(to) {
            self.add(to, seed, json!({"targets": {}}));
            self.role(to)["_type"] = json!("targets");
        }
        let delegations = &mut self.role(from)["delegations"];
        if delegations.is_null() {
            *delegations = json!({"keys": {}, "roles": []});
        }
        delegations["keys"][key_id(seed)] = key(seed);
        let mut role = how;
        role["name"] = json!(to);
        role["keyids"] = json!([key_id(seed)]);
        role["threshold"] = json!(1);
        role.as_object_mut()
            .expect("an object")
            .entry("terminating")
            .or_insert(json!(false));
        delegations["roles"]
            .as_array_mut()
            .expect("a list")
            .push(role);
    }

    /// Makes a role say that there is a target.
    pub(crate) fn add_target(&mut self, role: &str, path: &str, content: &[u8]) {
        self.role(role)["targets"][path] = json!({
            "length": content.len(),
            "hashes": {"sha512": hex::encode(digest(&SHA512, content).as_ref())},
        });
    }

    fn answer(&self, name: &str, bytes_max: u64) -> Answer {
        if self.broken.iter().any(|broken| broken == name) {
            return Answer::Failed(FetchError::Status(500));
        }
        match self.files.get(name) {
            None => Answer::Missing,
            Some(bytes) if bytes.len() as u64 > bytes_max => {
                Answer::Failed(FetchError::TooLong(bytes_max))
            }
            Some(bytes) => Answer::Bytes(bytes.clone()),
        }
    }
}

impl Repository for TestRepository {
    fn metadata(&self, name: &str) -> Result<Option<Box<dyn Read>>, FetchError> {
        let file = self.files.get(name).cloned();
        Ok(file.map(|bytes| Box::new(Cursor::new(bytes)) as Box<dyn Read>))
    }

    fn target(&self, _: &str, _: u64, _: u64) -> Result<Option<Box<dyn Read>>, FetchError> {
        Ok(None)
    }
}

/// Somebody who follows a repository.
#[derive(Clone)]
pub(crate) struct Follower {
    /// What is kept, by role.
    pub(crate) kept: BTreeMap<String, Vec<u8>>,
    /// Files that were asked for in the last run.
    pub(crate) asked: Vec<String>,
    pub(crate) options: Options,
    /// Steps after which the power fails.
    pub(crate) steps_max: usize,
}

impl Follower {
    /// Begins with the first root of a repository.
    pub(crate) fn new(repository: &TestRepository) -> Self {
        Self {
            kept: BTreeMap::from([("root".into(), repository.files["1.root.json"].clone())]),
            asked: Vec::new(),
            options: Options {
                now: NOW.parse().expect("a moment"),
                clock_floor: Time::from_unix(0),
                key_types: KeyTypes::Ed25519,
                stale: Stale::Refuse,
                limits: Limits::default(),
            },
            steps_max: usize::MAX,
        }
    }

    /// Runs the client once.
    pub(crate) fn refresh(&mut self, repository: &TestRepository) -> Result<Client, UpdateError> {
        self.asked.clear();
        let mut client = Client::new(self.kept["root"].clone(), self.options.clone())?;
        self.go_on(&mut client, repository)?;
        Ok(client)
    }

    /// Runs the client once, and looks for a target.
    pub(crate) fn find(
        &mut self,
        repository: &TestRepository,
        path: &str,
    ) -> Result<Target, UpdateError> {
        let mut client = self.refresh(repository)?;
        self.search(&mut client, repository, path)
    }

    /// Looks for one more target.
    pub(crate) fn search(
        &mut self,
        client: &mut Client,
        repository: &TestRepository,
        path: &str,
    ) -> Result<Target, UpdateError> {
        self.asked.clear();
        client.search(path)?;
        self.go_on(client, repository)?;
        client.found().cloned()
    }

    fn go_on(&mut self, client: &mut Client, from: &TestRepository) -> Result<(), UpdateError> {
        for _ in 0..self.steps_max {
            match client.next() {
                Step::Load { role } => {
                    let kept = self.kept.get(&role).cloned();
                    client.receive(kept.map_or(Answer::Missing, Answer::Bytes))?;
                }
                Step::Fetch { name, bytes_max } => {
                    let answer = from.answer(&name, bytes_max);
                    self.asked.push(name);
                    client.receive(answer)?;
                }
                Step::Keep { role, bytes } => {
                    self.kept.insert(role, bytes);
                }
                Step::Forget { role } => {
                    self.kept.remove(&role);
                }
                Step::Rest => break,
            }
        }
        Ok(())
    }

    /// Version of a role that is kept; 0 when nothing is.
    pub(crate) fn version(&self, role: &str) -> u64 {
        self.kept.get(role).map_or(0, |bytes| {
            let kept: Value = serde_json::from_slice(bytes).expect("metadata");
            kept["signed"]["version"].as_u64().expect("a version")
        })
    }
}

/// Tells how a run ended, in one line.
pub(crate) fn outcome<T>(result: Result<T, UpdateError>) -> String {
    result.map_or_else(|error| chain(&error), |_| "done".to_owned())
}

/// Signs what a role says.
pub(crate) fn sign(says: &Value, seeds: &[u8]) -> Vec<u8> {
    let message = crate::canonical::canonical(says).expect("no fractions");
    let signatures: Vec<Value> = seeds
        .iter()
        .map(|seed| json!({"keyid": key_id(*seed), "sig": hex::encode(pair(*seed).sign(&message).as_ref())}))
        .collect();
    serde_json::to_vec(&json!({"signed": says, "signatures": signatures})).expect("JSON")
}

/// A key as it stands in metadata.
pub(crate) fn key(seed: u8) -> Value {
    let public = hex::encode(pair(seed).public_key().as_ref());
    json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}})
}

/// The id of a key, which is no digest here.
pub(crate) fn key_id(seed: u8) -> String {
    format!("key {seed}")
}

fn keys(seeds: &[u8]) -> Value {
    seeds
        .iter()
        .map(|seed| (key_id(*seed), key(*seed)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed of 32 bytes")
}
