//! Requests of the AWS Query protocol: a form with flattened lists.

use std::collections::BTreeMap;

use super::error::RdsError;

/// One call: the action and its parameters by their flattened names, such as `Tags.Tag.1.Key`.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) action: String,
    parameters: BTreeMap<String, String>,
}

impl Query {
    /// Reads the body of a POST.
    pub(super) fn parse(form: &str) -> Result<Self, RdsError> {
        let mut parameters = BTreeMap::new();
        for pair in form.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.insert(decode(name), decode(value));
        }
        let action = parameters.remove("Action");
        let action = action.ok_or_else(|| RdsError::new(400, "MissingAction", "missing required parameter Action"))?;
        if parameters.remove("Version").as_deref() != Some("2014-10-31") {
            let message = format!("Could not find operation {action} for the requested version");
            return Err(RdsError::new(400, "InvalidAction", message));
        }
        Ok(Self { action, parameters })
    }

    /// Returns a parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns a parameter without which there is no such call.
    pub(super) fn required(&self, name: &str) -> Result<&str, RdsError> {
        let message = || format!("The request must contain the parameter {name}");
        self.text(name).ok_or_else(|| RdsError::new(400, "MissingParameter", message()))
    }

    /// Returns the name of a thing: names have no case.
    pub(super) fn identifier(&self, name: &str) -> Result<String, RdsError> {
        Ok(plain_name(self.required(name)?))
    }

    /// Returns a name for a new thing.
    pub(super) fn new_identifier(&self, name: &str) -> Result<String, RdsError> {
        let identifier = self.required(name)?.to_ascii_lowercase();
        let letters = identifier.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let begins = identifier.starts_with(|c: char| c.is_ascii_alphabetic());
        if !letters || !begins || identifier.len() > 63 || identifier.ends_with('-') || identifier.contains("--") {
            return Err(RdsError::value(format!(
                "The parameter {name} is not a valid identifier. Identifiers must begin with a letter; must contain only \
                 ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens."
            )));
        }
        Ok(identifier)
    }

    /// Returns whether a boolean parameter is true.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// Returns a number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u32>, RdsError> {
        let number = |value: &str| value.parse().map_err(|_| RdsError::value(format!("invalid {name}: {value}")));
        self.text(name).map(number).transpose()
    }

    /// Returns the members of a list, such as `VpcSecurityGroupIds.VpcSecurityGroupId.1`, by the list's name, in order;
    /// `None` when the call has no such list.
    pub(super) fn list(&self, name: &str) -> Option<Vec<String>> {
        let numbered = self.below(name);
        (!numbered.is_empty()).then(|| numbered.into_values().filter_map(|mut member| member.remove("")).collect())
    }

    /// Returns tags, `None` when the call has none.
    pub(super) fn tags(&self) -> Option<Vec<(String, String)>> {
        let tag = |mut member: BTreeMap<String, String>| {
            Some((member.remove("Key")?, member.remove("Value").unwrap_or_default()))
        };
        let numbered = self.below("Tags");
        (!numbered.is_empty()).then(|| numbered.into_values().filter_map(tag).collect())
    }

    /// Returns filters: a name, and the values of which one must fit.
    pub(super) fn filters(&self, known: &[&str]) -> Result<Vec<(String, Vec<String>)>, RdsError> {
        let mut filters = Vec::new();
        for mut member in self.below("Filters").into_values() {
            let name = member.remove("Name").unwrap_or_default();
            if !known.contains(&name.as_str()) {
                return Err(RdsError::value(format!("Unrecognized filter name: {name}")));
            }
            filters.push((name, member.into_values().collect()));
        }
        Ok(filters)
    }

    /// The members of a list by their number: what stands behind the number, and the value.
    fn below(&self, list: &str) -> BTreeMap<u32, BTreeMap<String, String>> {
        let mut members: BTreeMap<u32, BTreeMap<String, String>> = BTreeMap::new();
        for (name, value) in &self.parameters {
            let Some(rest) = name.strip_prefix(list).and_then(|rest| rest.strip_prefix('.')) else { continue };
            let Some((_member, rest)) = rest.split_once('.') else { continue };
            let (number, rest) = rest.split_once('.').unwrap_or((rest, ""));
            if let Ok(number) = number.parse() {
                members.entry(number).or_default().insert(rest.to_owned(), value.clone());
            }
        }
        members
    }

    /// Refuses parameters that the action has not; `lists` are by their own name.
    pub(super) fn refuse_others(&self, known: &[&[&str]]) -> Result<(), RdsError> {
        let stranger = self.parameters.keys().find(|name| {
            let first = name.split('.').next().unwrap_or(name);
            !known.iter().any(|names| names.contains(&first))
        });
        match stranger {
            Some(name) => {
                Err(RdsError::new(400, "ValidationError", format!("{name} is no parameter of {}", self.action)))
            }
            None => Ok(()),
        }
    }
}

/// Returns the name in an ARN, or the name itself, in lower case.
pub(super) fn plain_name(text: &str) -> String {
    let name = if text.starts_with("arn:") { text.splitn(7, ':').last().unwrap_or(text) } else { text };
    name.to_ascii_lowercase()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).unwrap_or(b'?')
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_tags_and_filters() {
        let query = Query::parse(
            "Action=X&Version=2014-10-31&Tags.Tag.2.Key=b&Tags.Tag.1.Key=a%2Bb&Tags.Tag.1.Value=one+1&\
             VpcSecurityGroupIds.VpcSecurityGroupId.10=sg-10&VpcSecurityGroupIds.VpcSecurityGroupId.9=sg-9&\
             Filters.Filter.1.Name=engine&Filters.Filter.1.Values.Value.1=postgres",
        )
        .unwrap();
        let tags = vec![("a+b".to_owned(), "one 1".to_owned()), ("b".to_owned(), String::new())];
        assert_eq!(query.tags(), Some(tags));
        assert_eq!(query.list("VpcSecurityGroupIds").unwrap(), ["sg-9", "sg-10"]);
        assert_eq!(query.filters(&["engine"]).unwrap(), [("engine".to_owned(), vec!["postgres".to_owned()])]);
        assert_eq!(query.filters(&["domain"]).unwrap_err().code, "InvalidParameterValue");
        assert_eq!(query.refuse_others(&[&["Tags", "Filters"]]).unwrap_err().code, "ValidationError");
        assert_eq!(plain_name("arn:aws:rds:us-east-1:123456789012:db:Shop"), "shop");
    }
}
