//! Patterns over the view: a pattern's own characters are folded like those of a text.

use regex_syntax::ast::{Ast, ClassSet, ClassSetItem, ClassSetUnion, Concat, Literal, LiteralKind, Span};

use super::fold_character;

/// Folds the literals of a pattern, and lets classes with a look-alike contain what it looks like.
///
/// Recursive; the parser has limited the depth.
pub(crate) fn fold_pattern(ast: &mut Ast) {
    match ast {
        Ast::Literal(literal) => {
            if let Some(folded) = fold_literal(literal) {
                *ast = folded;
            }
        }
        Ast::ClassBracketed(class) => fold_set(&mut class.kind),
        Ast::Repetition(repetition) => fold_pattern(&mut repetition.ast),
        Ast::Group(group) => fold_pattern(&mut group.ast),
        Ast::Alternation(alternation) => alternation.asts.iter_mut().for_each(fold_pattern),
        Ast::Concat(concat) => concat.asts.iter_mut().for_each(fold_pattern),
        Ast::Empty(_) | Ast::Flags(_) | Ast::Dot(_) | Ast::Assertion(_) => {}
        Ast::ClassUnicode(_) | Ast::ClassPerl(_) => {}
    }
}

fn fold_literal(literal: &Literal) -> Option<Ast> {
    // `\xE9` is a byte here and not the character of that number.
    let folded = if literal.byte().is_some() { None } else { fold_character(literal.c) }?;
    let asts = folded.iter().map(|&byte| Ast::literal(ascii(byte, literal.span))).collect();
    Some(Concat { span: literal.span, asts }.into_ast())
}

fn fold_set(set: &mut ClassSet) {
    match set {
        ClassSet::BinaryOp(operation) => {
            fold_set(&mut operation.lhs);
            fold_set(&mut operation.rhs);
        }
        ClassSet::Item(item) => fold_item(item),
    }
}

fn fold_item(item: &mut ClassSetItem) {
    let (span, first, last) = match item {
        ClassSetItem::Literal(literal) if literal.byte().is_none() => (literal.span, literal.c, literal.c),
        // A range of bytes has no characters.
        ClassSetItem::Range(range) if range.start.byte().or(range.end.byte()).is_none() => {
            (range.span, range.start.c, range.end.c)
        }
        ClassSetItem::Bracketed(class) => return fold_set(&mut class.kind),
        ClassSetItem::Union(union) => return union.items.iter_mut().for_each(fold_item),
        _ => return,
    };
    let mut folded: Vec<u8> = (first..=last)
        .filter_map(|character| match fold_character(character) {
            Some(&[byte]) => Some(byte),
            _ => None,
        })
        .collect();
    folded.sort_unstable();
    folded.dedup();
    if folded.is_empty() {
        return;
    }
    let mut union = ClassSetUnion { span, items: vec![item.clone()] };
    union.items.extend(folded.into_iter().map(|byte| ClassSetItem::Literal(ascii(byte, span))));
    *item = ClassSetItem::Union(union);
}

fn ascii(byte: u8, span: Span) -> Literal {
    Literal { span, kind: LiteralKind::Verbatim, c: char::from(byte) }
}
