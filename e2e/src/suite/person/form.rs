//! What a browser needs of a page's form. Pages of tests are small and well-formed: no parser is needed.

/// Where the page's first POST form goes; empty for the page's own address.
pub(super) fn action(page: &str) -> Option<String> {
    let form = page.split("<form").skip(1).map(tag).find(|form| form.to_ascii_lowercase().contains("post"))?;
    Some(attribute(form, "action").unwrap_or_default())
}

/// The value of an input field.
pub(super) fn input(page: &str, name: &str) -> Option<String> {
    let field =
        page.split("<input").skip(1).map(tag).find(|field| attribute(field, "name").as_deref() == Some(name))?;
    attribute(field, "value")
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
          name="_xsrf" value="MnwxOjA=" /><input data-name="x" name='user' value=''></form>"#;

    #[test]
    fn the_post_form_and_its_fields_are_found() {
        assert_eq!(action(PAGE).unwrap(), "/hub/login?next=%2Fa&b=1");
        assert_eq!(input(PAGE, "_xsrf").unwrap(), "MnwxOjA=");
        assert_eq!(input(PAGE, "user").unwrap(), "");
        assert!(input(PAGE, "x").is_none());
    }

    #[test]
    fn a_form_without_an_address_goes_to_the_page_itself() {
        assert_eq!(action("<form method=post>").unwrap(), "");
        assert!(action("<p>no form</p>").is_none());
    }
}
