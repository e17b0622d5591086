//! How deep a Python text nests, found before it is parsed: parsers and what they make recurse as deep as their input
//! nests, and a stack ends.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer};

/// A text that nests deeper is refused. Settings nest a few levels.
const MAX_DEPTH: usize = 200;

/// Whether a parser has to recurse deeper than `MAX_DEPTH`. The depth is never taken for less than it is: what makes an
/// expression deeper (an operator, a dot, a bracket) counts until a comma or the line's end, a keyword until the line's
/// end, an indentation until it ends. A bracket that the wrong one closes counts as too deep, since parsers mend it.
pub(crate) fn is_too_deep(text: &str) -> bool {
    let mut depth = Depth::default();
    let mut tokens = lexer::lex(text, Mode::Module);
    loop {
        let kind = tokens.next_token();
        if kind == TokenKind::EndOfFile {
            return false;
        }
        if !depth.take(kind) || depth.total() > MAX_DEPTH {
            return true;
        }
    }
}

#[derive(Default)]
struct Depth {
    indentation: usize,
    keywords: usize,
    /// For each open bracket: what closes it, and the count around it.
    brackets: Vec<(TokenKind, usize)>,
    /// The sum of the counts in `brackets`.
    around: usize,
    /// The count since the innermost bracket or the comma after it.
    count: usize,
}

impl Depth {
    fn total(&self) -> usize {
        self.indentation + self.keywords + self.brackets.len() + self.around + self.count
    }

    /// Counts a token; false if it closes what isn't open.
    fn take(&mut self, kind: TokenKind) -> bool {
        match kind {
            TokenKind::Indent => self.indentation += 1,
            TokenKind::Dedent => self.indentation = self.indentation.saturating_sub(1),
            TokenKind::Newline | TokenKind::Semi if self.brackets.is_empty() => {
                (self.keywords, self.count) = (0, 0);
            }
            TokenKind::Comma => self.count = 0,
            TokenKind::Lpar => self.open(TokenKind::Rpar),
            TokenKind::Lsqb => self.open(TokenKind::Rsqb),
            TokenKind::Lbrace => self.open(TokenKind::Rbrace),
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => return self.close(kind),
            TokenKind::Name | TokenKind::String | TokenKind::Int | TokenKind::Float => {}
            TokenKind::Comment | TokenKind::NonLogicalNewline => {}
            _ if kind.is_singleton() => {}
            _ if kind.is_keyword() => self.keywords += 1,
            _ => self.count += 1,
        }
        true
    }

    fn open(&mut self, closer: TokenKind) {
        // The bracket itself counts around it, too: in `f()()()` each one makes the expression deeper.
        let around = self.count + 1;
        self.brackets.push((closer, around));
        self.around += around;
        self.count = 0;
    }

    fn close(&mut self, kind: TokenKind) -> bool {
        match self.brackets.pop() {
            Some((closer, around)) if closer == kind => {
                self.around -= around;
                self.count = around;
                true
            }
            _ => false,
        }
    }
}
