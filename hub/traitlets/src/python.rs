//! Settings in Python: the literal assignments of a `jupyter_server_config.py`. The text is parsed and never run, so
//! whatever isn't such an assignment is an error that says what to write instead.

mod depth;
#[cfg(test)]
mod tests;

use crate::{Config, Error, Origin, Value, Variables};
use ruff_python_ast::{
    DictItem, Expr, ExprCall, FStringPart, InterpolatedStringElement, Number, Stmt, StmtAssign, StmtImport, UnaryOp,
};
use ruff_text_size::{Ranged, TextSize};
use std::path::Path;

/// The settings of a file's text. `variables` is what `os.environ` holds.
///
/// # Errors
/// A line isn't Python, or isn't an assignment of a literal to a setting.
pub(crate) fn settings(text: &str, path: &Path, variables: &Variables) -> Result<Config, Error> {
    if depth::is_too_deep(text) {
        let message = "its brackets don't match or nest too deep; write plain assignments".to_owned();
        return Err(Error::File { path: path.to_owned(), message });
    }
    let origin = |at: TextSize| Origin::File { path: path.to_owned(), line: Some(line(text, at)) };
    let fail = |Problem { at, message }| Error::Place { origin: origin(at), message };
    let module = ruff_python_parser::parse_module(text).map_err(|error| {
        fail(Problem { at: error.location.start(), message: format!("this isn't Python: {}", error.error) })
    })?;
    let mut reader = Reader { variables, has_os: false };
    let mut config = Config::default();
    for statement in module.suite() {
        for ((class, trait_name), value) in reader.statement(statement).map_err(fail)? {
            config.set(class, trait_name, value, origin(statement.start()));
        }
    }
    Ok(config)
}

/// A literal of a command line; `None` if it is anything else.
pub(crate) fn literal(text: &str) -> Option<Value> {
    if depth::is_too_deep(text) {
        return None;
    }
    let expression = ruff_python_parser::parse_expression(text).ok()?;
    Reader { variables: &Variables::new(), has_os: false }.value(expression.expr()).ok()
}

/// The line of a place, from 1.
fn line(text: &str, at: TextSize) -> usize {
    text[..at.to_usize()].matches('\n').count() + 1
}

/// What is wrong where.
struct Problem {
    at: TextSize,
    message: String,
}

fn problem<T>(at: &impl Ranged, message: impl Into<String>) -> Result<T, Problem> {
    Err(Problem { at: at.start(), message: message.into() })
}

/// A setting that a statement makes: its class and trait, and its value.
type Setting<'a> = ((&'a str, &'a str), Value);

struct Reader<'a> {
    variables: &'a Variables,
    /// `import os` came before.
    has_os: bool,
}

impl Reader<'_> {
    fn statement<'a>(&mut self, statement: &'a Stmt) -> Result<Vec<Setting<'a>>, Problem> {
        match statement {
            Stmt::Assign(assignment) if is_get_config(assignment) => Ok(Vec::new()),
            Stmt::Assign(StmtAssign { targets, value, .. }) => {
                let names = targets.iter().map(class_and_trait).collect::<Result<Vec<_>, _>>()?;
                let value = self.value(value)?;
                Ok(names.into_iter().map(|name| (name, value.clone())).collect())
            }
            Stmt::Import(import) if is_import_os(import) => {
                self.has_os = true;
                Ok(Vec::new())
            }
            // Text that stands alone is a comment.
            Stmt::Expr(expression) if expression.value.is_string_literal_expr() => Ok(Vec::new()),
            Stmt::Pass(_) => Ok(Vec::new()),
            _ => problem(statement, not_an_assignment(statement)),
        }
    }

    fn value(&self, expression: &Expr) -> Result<Value, Problem> {
        let values = |items: &[Expr]| items.iter().map(|item| self.value(item)).collect::<Result<Vec<_>, _>>();
        match expression {
            Expr::NoneLiteral(_) => Ok(Value::None),
            Expr::BooleanLiteral(literal) => Ok(Value::Bool(literal.value)),
            Expr::NumberLiteral(literal) => number(&literal.value, 1, expression),
            Expr::UnaryOp(unary) => match (unary.op, &*unary.operand) {
                (UnaryOp::USub, Expr::NumberLiteral(literal)) => number(&literal.value, -1, expression),
                (UnaryOp::UAdd, Expr::NumberLiteral(literal)) => number(&literal.value, 1, expression),
                _ => problem(expression, NOT_A_LITERAL),
            },
            Expr::StringLiteral(literal) => Ok(Value::Str(literal.value.to_str().to_owned())),
            Expr::FString(string) => string.value.iter().map(part).collect::<Option<String>>().map_or_else(
                || problem(expression, "an f-string with an expression is not run; write the text itself"),
                |text| Ok(Value::Str(text)),
            ),
            Expr::BytesLiteral(literal) => Ok(Value::Bytes(literal.value.bytes().collect())),
            Expr::List(list) => Ok(Value::List(values(&list.elts)?)),
            Expr::Tuple(tuple) => Ok(Value::Tuple(values(&tuple.elts)?)),
            Expr::Set(set) => Ok(Value::Set(set.elts.iter().map(|item| self.key(item)).collect::<Result<_, _>>()?)),
            Expr::Dict(dict) => {
                let items = dict.items.iter().map(|item| self.item(item));
                Ok(Value::dict(items.collect::<Result<Vec<_>, _>>()?))
            }
            Expr::Subscript(subscript) if is_dotted(&subscript.value, &["os", "environ"]) => {
                self.variable(&subscript.slice)?.map_or_else(
                    || {
                        problem(
                            expression,
                            "the environment lacks this variable; set it, or write os.environ.get('NAME', 'default')",
                        )
                    },
                    Ok,
                )
            }
            Expr::Call(call) => self.call(call),
            Expr::Name(_) | Expr::Attribute(_) => problem(
                expression,
                "a name is not looked up; write its value here, and a class as the string 'module.Class'",
            ),
            _ => problem(expression, NOT_A_LITERAL),
        }
    }

    fn item(&self, item: &DictItem) -> Result<(Value, Value), Problem> {
        match &item.key {
            Some(key) => Ok((self.key(key)?, self.value(&item.value)?)),
            None => problem(&item.value, "`**` is not run; write the items themselves"),
        }
    }

    /// A dict's key or a set's item, which can't be a value that changes.
    fn key(&self, expression: &Expr) -> Result<Value, Problem> {
        match self.value(expression)? {
            value @ (Value::List(_) | Value::Set(_) | Value::Dict(_)) => problem(
                expression,
                format!("this is {}, which can't be a key of a dict or in a set; write a tuple", value.kind()),
            ),
            value => Ok(value),
        }
    }

    /// The calls that settings files make: of `set`, `bytes.fromhex`, `os.environ.get` and `os.getenv`.
    fn call(&self, call: &ExprCall) -> Result<Value, Problem> {
        let arguments: &[Expr] = if call.arguments.keywords.is_empty() { &call.arguments.args } else { &[] };
        let is_variable = is_dotted(&call.func, &["os", "environ", "get"]) || is_dotted(&call.func, &["os", "getenv"]);
        match arguments {
            // An empty set has no literal.
            [] if call.arguments.is_empty() && is_dotted(&call.func, &["set"]) => Ok(Value::Set(Vec::new())),
            [digits] if is_dotted(&call.func, &["bytes", "fromhex"]) => self.hex(digits),
            [name] if is_variable => Ok(self.variable(name)?.unwrap_or(Value::None)),
            [name, default] if is_variable => {
                let default = self.value(default)?;
                Ok(self.variable(name)?.unwrap_or(default))
            }
            _ => problem(call, "this call is not run; write the value that it gives"),
        }
    }

    fn hex(&self, digits: &Expr) -> Result<Value, Problem> {
        let bytes = match self.value(digits)? {
            Value::Str(text) => {
                text.split_ascii_whitespace().map(|part| hex::decode(part).ok()).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        match bytes {
            Some(bytes) => Ok(Value::Bytes(bytes.concat())),
            None => problem(
                digits,
                "this is not pairs of hexadecimal digits; write 32 bytes as `openssl rand -hex 32` gives them",
            ),
        }
    }

    /// The variable of the environment that an expression names; `None` if there is none.
    fn variable(&self, name: &Expr) -> Result<Option<Value>, Problem> {
        if !self.has_os {
            return problem(name, "`os` is not imported; write `import os` above it");
        }
        match self.value(name)? {
            Value::Str(name) => Ok(self.variables.get(&name).map(|value| Value::Str(value.clone()))),
            _ => problem(name, "a variable's name is a string; write os.environ['NAME']"),
        }
    }
}

const NOT_A_LITERAL: &str = "this is not run; write a literal: a string, a number, True, False, None, a list, a dict";

/// `c = get_config()`.
fn is_get_config(assignment: &StmtAssign) -> bool {
    let is_call = assignment.value.as_call_expr().is_some_and(|call| {
        is_dotted(&call.func, &["get_config"]) && call.arguments.args.is_empty() && call.arguments.keywords.is_empty()
    });
    is_call && matches!(assignment.targets.as_slice(), [target] if is_dotted(target, &["c"]))
}

/// `import os`.
fn is_import_os(import: &StmtImport) -> bool {
    import.names.iter().all(|alias| alias.name.as_str() == "os" && alias.asname.is_none())
}

/// Whether an expression is these names with dots between them.
fn is_dotted(expression: &Expr, names: &[&str]) -> bool {
    match (expression, names) {
        (Expr::Name(name), [only]) => name.id.as_str() == *only,
        (Expr::Attribute(attribute), [before @ .., last]) => {
            attribute.attr.as_str() == *last && is_dotted(&attribute.value, before)
        }
        _ => false,
    }
}

/// The names in `c.Class.trait`.
fn class_and_trait(target: &Expr) -> Result<(&str, &str), Problem> {
    if let Expr::Attribute(attribute) = target
        && let Expr::Attribute(class) = &*attribute.value
    {
        let (class_name, trait_name) = (class.attr.as_str(), attribute.attr.as_str());
        if !class_name.starts_with(char::is_uppercase) {
            return problem(
                target,
                format!("`{class_name}` is not the name of a class; write c.ServerApp.{trait_name} = value"),
            );
        }
        if is_dotted(&class.value, &["c"]) {
            return Ok((class_name, trait_name));
        }
        if class.value.is_attribute_expr() {
            return problem(
                target,
                format!("only one class goes before a setting; write c.{class_name}.{trait_name} = value"),
            );
        }
    }
    problem(target, "this is not a setting; write c.Class.name = value, and values where they are used")
}

fn number(number: &Number, sign: i8, at: &Expr) -> Result<Value, Problem> {
    match number {
        Number::Int(int) => int.as_i64().map_or_else(
            || problem(at, "this number is too large; write one of at most 63 bits"),
            |int| Ok(Value::Int(int * i64::from(sign))),
        ),
        Number::Float(float) => Ok(Value::Float(float * f64::from(sign))),
        Number::Complex { .. } => problem(at, "this is a complex number; write a real one"),
    }
}

/// The text of a part of an f-string; `None` if it holds an expression.
fn part(part: &FStringPart) -> Option<String> {
    match part {
        FStringPart::Literal(literal) => Some(literal.as_str().to_owned()),
        FStringPart::FString(string) => string
            .elements
            .iter()
            .map(|element| match element {
                InterpolatedStringElement::Literal(literal) => Some(&*literal.value),
                InterpolatedStringElement::Interpolation(_) => None,
            })
            .collect(),
    }
}

/// What to write instead of a statement.
fn not_an_assignment(statement: &Stmt) -> &'static str {
    match statement {
        Stmt::Import(_) | Stmt::ImportFrom(_) => {
            "only `import os` is known, for os.environ['NAME']; remove this, and write values themselves"
        }
        Stmt::AugAssign(_) | Stmt::AnnAssign(_) => "a setting is set as a whole; write c.Class.name = value",
        Stmt::Expr(expression) if expression.value.is_call_expr() => {
            "this call is not run; write c.Class.name = value, and a list or dict as a whole"
        }
        _ => {
            "this is not run; write only settings, c.Class.name = value, and what depends on something as a flag or os.environ['NAME']"
        }
    }
}
