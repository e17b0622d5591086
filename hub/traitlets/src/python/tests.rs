use super::*;

fn read(text: &str) -> Result<Config, String> {
    let variables = Variables::from([("TOKEN".to_owned(), "from the environment".to_owned())]);
    settings(text, Path::new("/x.py"), &variables).map_err(|error| error.to_string())
}

/// What `c.A.a` is after `import os` and an assignment of `literal`.
fn value(literal: &str) -> Result<Value, String> {
    let config = read(&format!("import os\nc.A.a = {literal}\n"))?;
    Ok(config.get("A", "a").unwrap().value.clone())
}

#[test]
fn literals_are_what_they_are_in_python() {
    let ints = |ints: &[i64]| ints.iter().map(|int| Value::Int(*int)).collect::<Vec<_>>();
    for (literal, expected) in [
        ("None", Value::None),
        ("True", Value::Bool(true)),
        ("8_888", Value::Int(8888)),
        ("-0x1F", Value::Int(-31)),
        ("+0o17", Value::Int(15)),
        ("0b11", Value::Int(3)),
        ("-1.5e3", Value::Float(-1500.0)),
        ("'a' \"b\"  # c", "ab".into()),
        ("('a'\n  'b')", "ab".into()),
        (
            r"'\x41\u00e9\N{BULLET}\n\
b\q\101'",
            "Aé•\nb\\qA".into(),
        ),
        (r"r'\d' R'\n' u'x'", r"\d\nx".into()),
        ("'''a\n'b'\n'''", "a\n'b'\n".into()),
        ("f'a{{b}}' 'c'", "a{b}c".into()),
        (r"b'\x00a' Rb'\n'", Value::Bytes(b"\0a\\n".to_vec())),
        ("bytes.fromhex('00 ff\\n0A')", Value::Bytes(vec![0, 255, 10])),
        ("[1, -2,\n # three\n 3,]", Value::List(ints(&[1, -2, 3]))),
        ("1, 2", Value::Tuple(ints(&[1, 2]))),
        ("()", Value::Tuple(Vec::new())),
        ("(1)", Value::Int(1)),
        ("{1, 2}", Value::Set(ints(&[1, 2]))),
        ("{}", Value::dict([])),
        ("set()", Value::Set(Vec::new())),
        (
            "{'a': [], (1,): {}, 'a': 2}",
            Value::dict([("a".into(), Value::Int(2)), (Value::Tuple(ints(&[1])), Value::dict([]))]),
        ),
        ("os.environ['TOKEN']", "from the environment".into()),
        ("os.environ.get('TOKEN', 1)", "from the environment".into()),
        ("[os.environ.get('NONE')]", Value::List(vec![Value::None])),
        ("os.environ.get('NONE', [])", Value::List(Vec::new())),
        ("os.getenv('NO' 'NE', '')", "".into()),
    ] {
        assert!(value(literal).unwrap() == expected, "{literal}");
    }
}

#[test]
fn a_settings_file_is_read_line_by_line() {
    let config = read(
        "\u{feff}# -*- coding: utf-8 -*-\n'''Settings.'''\nimport os\nc = get_config()  #noqa\n\n\
         # c.ServerApp.port = 1\nc.ServerApp.port = 2; c.ServerApp.ip = '::'\nc.ServerApp.port = 3\r\n\
         c.A.list = [\n    'a',\n]\nc.A.x = c.B.x = 4\npass\n",
    )
    .unwrap();
    let found: Vec<_> = config.iter().map(|found| (found.name(), found.origin.to_string())).collect();
    let expected = [
        ("A.list", "/x.py:9"),
        ("A.x", "/x.py:12"),
        ("B.x", "/x.py:12"),
        ("ServerApp.ip", "/x.py:7"),
        ("ServerApp.port", "/x.py:8"),
    ];
    assert_eq!(found, expected.map(|(name, place)| (name.to_owned(), place.to_owned())));
    assert_eq!(config.get("ServerApp", "port").unwrap().int::<u16>().unwrap(), 3);
}

#[test]
fn whatever_is_not_a_literal_assignment_says_what_to_write() {
    for (line, remedy) in [
        ("c.A.a = f'{secret}'", "write the text itself"),
        ("c.A.a = t'secret'", "write a literal"),
        ("c.A.a = secret", "write its value here"),
        ("c.A.a = some.Class", "the string 'module.Class'"),
        ("c.A.a = 'secret' + 'secret'", "write a literal"),
        ("c.A.a = -'secret'", "write a literal"),
        ("c.A.a = 'secret'.encode()", "write the value that it gives"),
        ("c.A.a = bytes.fromhex('secret')", "openssl rand -hex 32"),
        ("c.A.a = bytes.fromhex('a b')", "openssl rand -hex 32"),
        ("c.A.a = [x for x in 'secret']", "write a literal"),
        ("c.A.a = {**secret}", "write the items themselves"),
        ("c.A.a = [*secret]", "write a literal"),
        ("c.A.a = {['secret']: 1}", "this is a list, which can't be a key"),
        ("c.A.a = {{}}", "this is a dict, which can't be a key"),
        ("c.A.a = 99999999999999999999", "at most 63 bits"),
        ("c.A.a = 1j", "write a real one"),
        ("c.A.a = os.environ['TOKEN']", "write `import os` above it"),
        ("import os; c.A.a = os.environ['NONE']", "os.environ.get('NAME', 'default')"),
        ("import os; c.A.a = os.environ[1]", "write os.environ['NAME']"),
        ("import os; c.A.a = os.environ.get('TOKEN', default='secret')", "write the value that it gives"),
        ("import os as secret", "only `import os` is known"),
        ("import os, sys", "only `import os` is known"),
        ("from os import environ", "only `import os` is known"),
        ("c.a.b = 'secret'", "write c.ServerApp.b = value"),
        ("c.A.B.c = 'secret'", "write c.B.c = value"),
        ("c.A = 'secret'", "write c.Class.name = value"),
        ("d.A.a = 'secret'", "write c.Class.name = value"),
        ("secret = 1", "write c.Class.name = value"),
        ("c['A']['a'] = 'secret'", "write c.Class.name = value"),
        ("c.A.a, c.A.b = 'secret'", "write c.Class.name = value"),
        ("c = get_config(1)", "write c.Class.name = value"),
        ("c.A.a += ['secret']", "set as a whole"),
        ("c.A.a: str = 'secret'", "set as a whole"),
        ("c.A.a.append('secret')", "a list or dict as a whole"),
        ("load_subconfig('secret')", "write c.Class.name = value"),
        ("if True:\n    c.A.a = 'secret'", "write only settings"),
        ("def secret(): pass", "write only settings"),
        ("c.A.a = 'secret", "this isn't Python"),
        ("c.A.a = 1 2", "this isn't Python"),
        ("  c.A.a = 1", "this isn't Python"),
    ] {
        let error = read(&format!("c.B.b = 1\n\n{line}\n")).unwrap_err();
        assert!(error.starts_with("failed to use /x.py:3: ") && error.contains(remedy), "{line}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn what_nests_without_end_is_refused_before_it_is_parsed() {
    let times = |text: &str| text.repeat(100_000);
    let deep = [
        times("["),
        times("("),
        times("{1:"),
        times("[") + &times("]"),
        times("(]"),
        times("- "),
        times("not "),
        times("x."),
        times("f()()"),
        times("1+"),
        times("1**"),
        times("lambda a,:"),
        times("1 if 1 else "),
        times("a[b,") + &times("]"),
        times("f'{"),
        "f'".to_owned() + &times("{x:"),
        times("await "),
        times("x:="),
        times("*"),
        times("if 1: "),
        (0..1000).map(|depth| " ".repeat(depth) + "if 1:\n").collect(),
    ];
    for text in deep {
        for text in [format!("c.A.a = {text}"), text] {
            let start: String = text.chars().take(20).collect();
            assert!(depth::is_too_deep(&text) && read(&text).is_err(), "{start}");
        }
    }
}

#[test]
fn what_is_long_but_flat_is_read() {
    let list = format!("[{}]", "-1, ['a', (-2, {'b': os.environ.get('NONE')})],\n".repeat(10_000));
    assert!(matches!(value(&list).unwrap(), Value::List(items) if items.len() == 20_000));
    let deep = format!("{}{}", "[".repeat(90), "]".repeat(90));
    assert!(value(&deep).is_ok());
    let lines = "c.A.a = -1\n".repeat(10_000);
    assert_eq!(read(&lines).unwrap().iter().next().unwrap().origin.to_string(), "/x.py:10000");
}
