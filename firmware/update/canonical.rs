//! Canonical JSON: the bytes that are signed, whatever the bytes in the file look like.
//!
//! Unknown fields are part of it, since it is made from everything that was received. A name that stands twice in an object counts
//! with its last value, here as in what is read from the object. Numbers with a fraction have no canonical form.
//! Source: wiki.laptop.org/go/Canonical_JSON, the dialect that TUF §4.1 names.

use serde_json::{Map, Value};

/// A number that is not an integer of 64 bits, as it was read.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("number that cannot be signed: {0}")]
pub struct NotAnInteger(pub String);

/// Writes a value in its one form. The parser bounds how deep it is nested.
///
/// # Errors
/// When a number in it is no integer of 64 bits.
pub fn canonical(value: &Value) -> Result<Vec<u8>, NotAnInteger> {
    let mut written = Vec::new();
    write_value(&mut written, value)?;
    Ok(written)
}

fn write_value(to: &mut Vec<u8>, value: &Value) -> Result<(), NotAnInteger> {
    match value {
        Value::Null => to.extend(b"null"),
        Value::Bool(true) => to.extend(b"true"),
        Value::Bool(false) => to.extend(b"false"),
        Value::Number(number) if number.is_f64() => return Err(NotAnInteger(number.to_string())),
        Value::Number(number) => to.extend(number.to_string().bytes()),
        Value::String(text) => write_text(to, text),
        Value::Array(values) => return write_array(to, values),
        Value::Object(fields) => return write_object(to, fields),
    }
    Ok(())
}

/// Only quotes and backslashes are escaped; control characters stand as they are.
fn write_text(to: &mut Vec<u8>, text: &str) {
    to.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            to.push(b'\\');
        }
        to.push(byte);
    }
    to.push(b'"');
}

fn write_array(to: &mut Vec<u8>, values: &[Value]) -> Result<(), NotAnInteger> {
    to.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            to.push(b',');
        }
        write_value(to, value)?;
    }
    to.push(b']');
    Ok(())
}

fn write_object(to: &mut Vec<u8>, fields: &Map<String, Value>) -> Result<(), NotAnInteger> {
    // The order of the map is a matter of how serde_json was built.
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    to.push(b'{');
    for (index, (name, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            to.push(b',');
        }
        write_text(to, name);
        to.push(b':');
        write_value(to, value)?;
    }
    to.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(json: &str, expected: Result<&str, &str>) {
        let value: Value = serde_json::from_str(json).expect("JSON");
        let written = canonical(&value).map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
        assert_eq!(
            written,
            expected
                .map(str::to_owned)
                .map_err(|number| NotAnInteger(number.to_owned()))
        );
    }

    #[test]
    fn each_value_has_one_form() {
        check(" null ", Ok("null"));
        check("[ true , false,\n[] ]", Ok("[true,false,[]]"));
        check(
            r#"{"b":1,"a":{"é":2,"z":-3}}"#,
            Ok(r#"{"a":{"z":-3,"é":2},"b":1}"#),
        );
        check(r#"{"a":1,"a":2}"#, Ok(r#"{"a":2}"#));
        check("18446744073709551615", Ok("18446744073709551615"));
    }

    #[test]
    fn only_quotes_and_backslashes_are_escaped() {
        check(r#""\"\\\/\n\u0000\u00e9""#, Ok("\"\\\"\\\\/\n\0é\""));
    }

    #[test]
    fn capitals_sort_before_small_letters() {
        check(r#"{"a":0,"_":0,"B":0}"#, Ok(r#"{"B":0,"_":0,"a":0}"#));
    }

    #[test]
    fn fractions_have_no_form() {
        check("[1.5]", Err("1.5"));
        check("1.0", Err("1.0"));
        check("18446744073709551616", Err("1.8446744073709552e+19"));
    }

    proptest! {
        #[test]
        fn text_without_escapes_is_read_back(text in "[^\\p{Cc}]*", number: i64) {
            let value = serde_json::json!({ text.clone(): [number, text] });
            let written = canonical(&value).expect("no fraction");
            prop_assert_eq!(serde_json::from_slice::<Value>(&written).expect("JSON"), value);
        }
    }
}
