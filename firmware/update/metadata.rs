//! What the roles of a repository say, as values that cannot hold what the specification forbids.
//!
//! Fields that are not known are passed over here; the signatures cover them. Deliberately not read: mirrors, and succinct delegations
//! (TAP 15), which the specification does not have. Source: §4.3 to §4.6.

use crate::digest::{Check, Digests};
use crate::error::Fault;
use crate::hex;
use crate::key::Key;
use crate::pattern;
use crate::signed::{Signers, SignersText};
use crate::time::Time;
use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

/// The name of each role that a repository has; delegated roles may not bear it.
pub(crate) const ROOT: &str = "root";
pub(crate) const TIMESTAMP: &str = "timestamp";
pub(crate) const SNAPSHOT: &str = "snapshot";
pub(crate) const TARGETS: &str = "targets";

/// What every role says.
#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    #[serde(rename = "_type")]
    kind: String,
    spec_version: String,
    version: NonZeroU64,
    pub(crate) expires: Time,
}

/// What one kind of role says beside that.
pub(crate) trait Role: DeserializeOwned {
    /// `_type` in the metadata.
    const KIND: &str;
}

/// Which keys vouch for which role.
#[derive(Debug, Deserialize)]
pub(crate) struct Root {
    #[serde(default)]
    pub(crate) consistent_snapshot: bool,
    keys: BTreeMap<String, Key>,
    roles: TopLevel,
}

#[derive(Debug, Deserialize)]
struct TopLevel {
    root: SignersText,
    timestamp: SignersText,
    snapshot: SignersText,
    targets: SignersText,
}

/// Which snapshot is the newest.
#[derive(Debug, Deserialize)]
pub(crate) struct Timestamp {
    meta: SnapshotOnly,
}

#[derive(Debug, Deserialize)]
struct SnapshotOnly {
    #[serde(rename = "snapshot.json")]
    snapshot: Listed,
}

/// Which versions of all targets roles belong together.
#[derive(Debug, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) meta: BTreeMap<String, Listed>,
}

/// What is said of a file of metadata.
#[derive(Debug, Deserialize)]
pub(crate) struct Listed {
    version: NonZeroU64,
    pub(crate) length: Option<u64>,
    hashes: Option<Digests>,
}

/// Which targets there are, and whom to ask for others.
#[derive(Debug, Deserialize)]
pub(crate) struct Targets {
    targets: BTreeMap<String, TargetText>,
    delegations: Option<Delegations>,
}

#[derive(Debug, Deserialize)]
struct TargetText {
    length: u64,
    hashes: Digests,
    #[serde(default)]
    custom: Value,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "DelegationsText")]
struct Delegations {
    keys: BTreeMap<String, Key>,
    roles: Vec<Delegation>,
}

#[derive(Deserialize)]
struct DelegationsText {
    #[serde(default)]
    keys: BTreeMap<String, Key>,
    #[serde(default)]
    roles: Vec<Delegation>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "DelegationText")]
struct Delegation {
    name: String,
    signers: SignersText,
    terminating: bool,
    paths: Paths,
}

#[derive(Deserialize)]
struct DelegationText {
    name: String,
    #[serde(flatten)]
    signers: SignersText,
    #[serde(default)]
    terminating: bool,
    paths: Option<Vec<String>>,
    path_hash_prefixes: Option<Vec<String>>,
}

/// Which targets a delegated role may provide.
#[derive(Debug)]
enum Paths {
    Patterns(Vec<String>),
    /// Beginnings of the SHA-256 of the path, in lower-case hexadecimal digits.
    HashPrefixes(Vec<String>),
}

/// Why delegations are malformed.
#[derive(Debug, thiserror::Error)]
enum MalformedDelegation {
    #[error("delegated role has the name of a top-level role: {0:?}")]
    TopLevelName(String),
    #[error("role is delegated to twice: {0:?}")]
    Twice(String),
    #[error("delegation must have either paths or path_hash_prefixes: {0:?}")]
    Paths(String),
}

/// What a repository vouches for: a file by its length and digests.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    path: String,
    length: u64,
    digests: Digests,
    custom: Value,
}

/// A role to ask for a target, and what may vouch for it.
#[derive(Clone, Debug)]
pub(crate) struct Delegated {
    pub(crate) role: String,
    pub(crate) signers: Signers,
}

impl Header {
    /// Reads what every role says, and whether it is of the kind that is expected.
    pub(crate) fn read(unverified: &Value, kind: &str) -> Result<Self, Fault> {
        let header = Self::deserialize(unverified)?;
        if header.kind != kind {
            return Err(Fault::WrongType(header.kind));
        }
        // Major versions are not compatible with each other, minor ones are (§2.2).
        if header.spec_version.split('.').next() != Some("1") {
            return Err(Fault::UnknownSpecification(header.spec_version));
        }
        Ok(header)
    }

    /// Version, from 1 on.
    pub(crate) fn version(&self) -> u64 {
        self.version.get()
    }
}

impl Role for Root {
    const KIND: &str = ROOT;
}

impl Role for Timestamp {
    const KIND: &str = TIMESTAMP;
}

impl Role for Snapshot {
    const KIND: &str = SNAPSHOT;
}

impl Role for Targets {
    const KIND: &str = TARGETS;
}

impl Root {
    /// Who vouches for the root itself.
    pub(crate) fn root(&self) -> Signers {
        Signers::new(&self.roles.root, &self.keys)
    }

    /// Who vouches for the timestamp.
    pub(crate) fn timestamp(&self) -> Signers {
        Signers::new(&self.roles.timestamp, &self.keys)
    }

    /// Who vouches for the snapshot.
    pub(crate) fn snapshot(&self) -> Signers {
        Signers::new(&self.roles.snapshot, &self.keys)
    }

    /// Who vouches for the targets role of the root.
    pub(crate) fn targets(&self) -> Delegated {
        Delegated {
            role: TARGETS.to_owned(),
            signers: Signers::new(&self.roles.targets, &self.keys),
        }
    }
}

impl Timestamp {
    /// What is said of the newest snapshot.
    pub(crate) fn snapshot(&self) -> &Listed {
        &self.meta.snapshot
    }
}

impl Snapshot {
    /// What is said of a targets role.
    pub(crate) fn listed(&self, role: &str) -> Result<&Listed, Fault> {
        self.meta
            .get(&format!("{role}.json"))
            .ok_or(Fault::NotListed)
    }
}

impl Listed {
    /// Version, from 1 on.
    pub(crate) fn version(&self) -> u64 {
        self.version.get()
    }

    /// Checks length and digests, as far as they are listed.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), Fault> {
        let mut check = Check::new(self.length, self.hashes.as_ref());
        check.update(bytes);
        check.finish()
    }
}

impl TargetText {
    fn target(&self, path: &str) -> Target {
        Target {
            path: path.to_owned(),
            length: self.length,
            digests: self.hashes.clone(),
            custom: self.custom.clone(),
        }
    }
}

impl Targets {
    /// Gives what this role itself says of a target.
    pub(crate) fn target(&self, path: &str) -> Option<Target> {
        Some(self.targets.get(path)?.target(path))
    }

    /// Gives all that this role itself vouches for, by path.
    pub(crate) fn all(&self) -> Vec<Target> {
        let all = self.targets.iter();
        all.map(|(path, text)| text.target(path)).collect()
    }

    /// Gives the roles that may provide a target, in their order, and whether the last of them ends the search.
    pub(crate) fn delegated(&self, path: &str) -> (Vec<Delegated>, bool) {
        let mut roles = Vec::new();
        let Some(delegations) = &self.delegations else {
            return (roles, false);
        };
        let path_hash = hex::encode(digest(&SHA256, path.as_bytes()).as_ref());
        for role in &delegations.roles {
            if !role.paths.allow(path, &path_hash) {
                continue;
            }
            roles.push(Delegated {
                role: role.name.clone(),
                signers: Signers::new(&role.signers, &delegations.keys),
            });
            if role.terminating {
                return (roles, true);
            }
        }
        (roles, false)
    }
}

impl Paths {
    fn allow(&self, path: &str, path_hash: &str) -> bool {
        match self {
            Self::Patterns(patterns) => patterns
                .iter()
                .any(|pattern| pattern::matches(pattern, path)),
            Self::HashPrefixes(prefixes) => prefixes
                .iter()
                .any(|prefix| path_hash.starts_with(prefix.as_str())),
        }
    }
}

impl TryFrom<DelegationsText> for Delegations {
    type Error = MalformedDelegation;

    fn try_from(text: DelegationsText) -> Result<Self, MalformedDelegation> {
        let mut names = BTreeSet::new();
        match text.roles.iter().find(|role| !names.insert(&role.name)) {
            Some(role) => Err(MalformedDelegation::Twice(role.name.clone())),
            None => Ok(Self {
                keys: text.keys,
                roles: text.roles,
            }),
        }
    }
}

impl TryFrom<DelegationText> for Delegation {
    type Error = MalformedDelegation;

    fn try_from(text: DelegationText) -> Result<Self, MalformedDelegation> {
        if [ROOT, TIMESTAMP, SNAPSHOT, TARGETS].contains(&text.name.as_str()) {
            return Err(MalformedDelegation::TopLevelName(text.name));
        }
        let paths = match (text.paths, text.path_hash_prefixes) {
            (Some(patterns), None) => Paths::Patterns(patterns),
            (None, Some(prefixes)) => Paths::HashPrefixes(prefixes),
            _ => return Err(MalformedDelegation::Paths(text.name)),
        };
        Ok(Self {
            name: text.name,
            signers: text.signers,
            terminating: text.terminating,
            paths,
        })
    }
}

impl Target {
    /// Path in the repository, by which it was asked for.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What the repository's owners say of it beside that; null when nothing.
    pub fn custom(&self) -> &Value {
        &self.custom
    }

    /// Gives the path of the file in a repository whose files bear their digest (§6.2.2), or do not.
    pub(crate) fn file_path(&self, consistent_snapshot: bool) -> String {
        if !consistent_snapshot {
            return self.path.clone();
        }
        let (folder, name) = match self.path.rfind('/') {
            Some(slash) => self.path.split_at(slash + 1),
            None => ("", self.path.as_str()),
        };
        format!("{folder}{}.{name}", self.digests.prefix())
    }

    /// Begins to check a file against what was signed.
    pub(crate) fn check(&self) -> Check<'_> {
        Check::new(Some(self.length), Some(&self.digests))
    }
}
