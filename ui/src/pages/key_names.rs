//! Who uses which key: of the own key everybody may know it, of others whoever may read keys.

use crate::api::Call;
use crate::show::{list as elements, text};
use crate::visit::Visit;
use maud::{Markup, html};
use serde_json::Value;
use std::collections::HashMap;

/// Clients by the ids of their keys, as far as the visitor may know them.
pub struct KeyNames(HashMap<String, String>);

impl KeyNames {
    /// Reads them. Keys beyond a page of the API stay without a name.
    pub async fn read(visit: &Visit) -> Self {
        let answer = match visit.rights.allow("keys:admin") {
            true => visit.call(Call::get("/v1/keys", &[("show_revoked", "true")])).await.unwrap_or_default(),
            false => Value::Null,
        };
        let named = |key: &Value| Some((id(key)?.to_owned(), text(key, "client").to_owned()));
        let own = (visit.rights.key_id.clone(), visit.rights.client.clone());
        let all = elements(&answer, "keys").iter().filter_map(named).chain([own]);
        Self(all.filter(|(id, client)| !id.is_empty() && !client.is_empty()).collect())
    }

    /// Who wrote something, behind "by".
    pub fn of(&self, id: &str) -> Markup {
        html! {
            @match self.0.get(id) {
                Some(client) => { strong { (client) } " (key " code { (id) } ")" }
                None => { "key " code { (id) } }
            }
        }
    }
}

fn id(key: &Value) -> Option<&str> {
    text(key, "name").strip_prefix("keys/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_by_its_client_where_that_is_known() {
        let names = KeyNames(HashMap::from([("0a".to_owned(), "<ben>".to_owned())]));
        assert_eq!(names.of("0a").into_string(), "<strong>&lt;ben&gt;</strong> (key <code>0a</code>)");
        assert_eq!(names.of("0b").into_string(), "key <code>0b</code>");
    }
}
