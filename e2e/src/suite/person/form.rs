//! What a browser needs of a page's form. Pages of tests are small and well-formed: no parser is needed.

/// Where the page's first POST form goes; empty for the page's own address.
pub(super) fn action(page: &str) -> Option<String> {
    Some(attribute(tag(form(page)?), "action").unwrap_or_default())
}

/// Names and values of that form's hidden fields, which it sends without anyone typing.
pub(super) fn hidden(page: &str) -> Vec<(String, String)> {
    let fields = form(page).unwrap_or_default().split("<input").skip(1).map(tag);
    let hidden = fields.filter(|field| attribute(field, "type").as_deref() == Some("hidden"));
    hidden.filter_map(|field| Some((attribute(field, "name")?, attribute(field, "value")?))).collect()
}

/// The page's first POST form, from its attributes to its end.
fn form(page: &str) -> Option<&str> {
    let form = page.split("<form").skip(1).find(|form| tag(form).to_ascii_lowercase().contains("post"))?;
    form.split("</form").next()
}

/// Everything up to the tag's end.
fn tag(rest: &str) -> &str {
    rest.split('>').next().unwrap_or_default()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    ['"', '\''].into_iter().find_map(|quote| {
        let start = format!("{name}={quote}");
        let found = tag.match_indices(&start).find(|(at, _)| tag[..*at].ends_with(char::is_whitespace))?;
        tag[found.0 + start.len()..].split(quote).next().map(unescape)
    })
}

fn unescape(text: &str) -> String {
    const ESCAPES: [(&str, &str); 7] = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#38;", "&"),
        ("&amp;", "&"), // last: it makes no new ones
    ];
    ESCAPES.iter().fold(text.to_owned(), |text, (escape, character)| text.replace(escape, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<form role="search"></form>
        <form action="/hub/login?next=%2Fa&amp;b=1" method="post"><input type="hidden"
          name="_xsrf" value="MnwxOjA=" /><input data-name="x" name='user' type='hidden' value=''>
        <input name="password" type="password" value=""></form>
        <form method="post"><input type="hidden" name="other" value="1"></form>"#;

    #[test]
    fn the_post_form_and_its_hidden_fields_are_found() {
        assert_eq!(action(PAGE).unwrap(), "/hub/login?next=%2Fa&b=1");
        let fields = [("_xsrf".to_owned(), "MnwxOjA=".to_owned()), ("user".to_owned(), String::new())];
        assert_eq!(hidden(PAGE), fields);
    }

    #[test]
    fn a_form_without_an_address_goes_to_the_page_itself() {
        assert_eq!(action("<form method=post>").unwrap(), "");
        assert!(action("<p>no form</p>").is_none());
    }
}
