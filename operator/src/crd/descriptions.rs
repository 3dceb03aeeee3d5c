//! Removes source line breaks from the schema's descriptions, because `kubectl explain` shows them. It must not
//! change anything else.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// Unwraps the descriptions of a schema and of everything in it.
pub(super) fn unwrap(schema: &mut JSONSchemaProps) {
    schema.description = schema.description.take().map(|text| unwrapped(&text));
    let properties = schema.properties.iter_mut().flatten();
    properties.for_each(|(_, property)| unwrap(property));
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => unwrap(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(unwrap),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        unwrap(values);
    }
}

/// Joins the lines of each paragraph. Blank lines, list items and the blank line after them stay.
fn unwrapped(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for line in text.lines().map(str::trim) {
        let follows_break = joined.is_empty() || joined.ends_with('\n');
        if line.is_empty() || is_list_item(line) {
            if !follows_break {
                joined.push('\n');
            }
        } else if !follows_break {
            joined.push(' ');
        }
        joined.push_str(line);
        if line.is_empty() {
            joined.push('\n');
        }
    }
    joined.trim_end().to_owned()
}

fn is_list_item(line: &str) -> bool {
    let number = line.trim_start_matches(|char: char| char.is_ascii_digit());
    let is_numbered = number.len() < line.len() && number.starts_with(". ");
    is_numbered || line.starts_with("- ") || line.starts_with("* ")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
    use serde_json::json;

    use super::{unwrap, unwrapped};

    #[test]
    fn paragraphs_are_joined_and_lists_stay() {
        for (wrapped, wanted) in [
            ("one", "one"),
            ("one\ntwo", "one two"),
            ("one\ntwo\n\nthree\nfour\n", "one two\n\nthree four"),
            ("one:\n- a\n  b\n- c\n\ntwo", "one:\n- a b\n- c\n\ntwo"),
            ("1. a\n2. b\n10 c", "1. a\n2. b 10 c"),
            ("one\n\n* a\n* b", "one\n\n* a\n* b"),
        ] {
            assert_eq!(unwrapped(wrapped), wanted, "{wrapped:?}");
            assert_eq!(unwrapped(wanted), wanted, "again");
        }
    }

    #[test]
    fn all_parts_of_a_schema_are_unwrapped() {
        let schema = |text: &str| {
            json!({
                "description": text,
                "properties": {"description": {
                    "description": text,
                    "items": {"description": text, "additionalProperties": {"description": text}},
                }},
            })
        };
        let mut found: JSONSchemaProps = serde_json::from_value(schema("one\ntwo")).unwrap();
        unwrap(&mut found);
        assert_eq!(serde_json::to_value(&found).unwrap(), schema("one two"));
    }
}
