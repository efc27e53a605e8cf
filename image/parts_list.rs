//! The list of all parts and versions beside an image, as CycloneDX 1.5 in JSON. Source: cyclonedx.org/docs/1.5/json.

use crate::board::Board;
use crate::commit::Commit;
use crate::lock::{Lock, Package};
use crate::rust_packages::RustPackage;
use serde_json::{Value, json};

/// Lists what an image is made of.
pub(crate) fn parts_list(
    board: &Board,
    commit: &Commit,
    lock: &Lock,
    rust_packages: &[RustPackage],
) -> Value {
    let debian = lock.packages.iter().map(of_debian);
    let rust = rust_packages.iter().map(of_rust);
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": commit.timestamp(),
            "component": {
                "type": "firmware",
                "name": format!("coffer-{}", board.name),
                "version": crate::VERSION,
                "properties": [{"name": "commit", "value": commit.id}],
            },
        },
        "components": debian.chain(rust).collect::<Vec<_>>(),
    })
}

fn of_debian(package: &Package) -> Value {
    let version = escaped(&package.version);
    json!({
        "type": "library",
        "name": package.name,
        "version": package.version,
        "purl": format!("pkg:deb/debian/{}@{version}?arch={}", escaped(&package.name), package.architecture),
        "hashes": [{"alg": "SHA-256", "content": package.sha256}],
        "licenses": [{"license": {"name": format!("licences/debian/{}", package.name)}}],
    })
}

fn of_rust(package: &RustPackage) -> Value {
    let mut part = json!({
        "type": "library",
        "name": package.name,
        "version": package.version,
        "purl": format!("pkg:cargo/{}@{}", package.name, escaped(&package.version)),
    });
    if let Some(licence) = &package.licence {
        // Some still write a slash for "or", which SPDX knows no more.
        part["licenses"] = json!([{"expression": licence.replace('/', " OR ")}]);
    }
    part
}

/// Escapes what has a meaning of its own in a package URL.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_escaped_in_addresses_only() {
        let package = Package {
            name: "libstdc++6".to_owned(),
            version: "2:2.6.1-4~deb12u2".to_owned(),
            architecture: "amd64".to_owned(),
            sha256: "00".to_owned(),
            size_bytes: 1,
            path: String::new(),
        };
        let part = of_debian(&package);
        assert_eq!(part["version"], "2:2.6.1-4~deb12u2");
        assert_eq!(
            part["purl"],
            "pkg:deb/debian/libstdc%2B%2B6@2%3A2.6.1-4~deb12u2?arch=amd64"
        );
    }

    #[test]
    fn old_ways_to_write_a_licence_are_put_right() {
        let package = |licence: Option<&str>| RustPackage {
            name: "zstd".to_owned(),
            version: "1.0.0".to_owned(),
            licence: licence.map(str::to_owned),
            licence_texts: Vec::new(),
        };
        let part = of_rust(&package(Some("MIT/Apache-2.0")));
        assert_eq!(part["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert!(of_rust(&package(None)).get("licenses").is_none());
    }
}
