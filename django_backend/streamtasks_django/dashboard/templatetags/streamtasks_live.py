"""The tag ``live``: what it surrounds is kept up to date in open pages."""

from __future__ import annotations

from django import template
from django.template.base import FilterExpression, NodeList, Parser, Token
from django.template.context import Context
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe

from ..live import MARK

__all__ = ["register"]

register = template.Library()


class _Live(template.Node):
    def __init__(self, name: FilterExpression, nodes: NodeList) -> None:
        self.name = name
        self.nodelist = nodes

    def render(self, context: Context) -> SafeString:
        name = conditional_escape(self.name.resolve(context))
        inside = self.nodelist.render(context)
        begin, end = MARK.format(name=name), MARK.format(name="/" + name)
        return mark_safe(f'<div data-live="{name}">{begin}{inside}{end}</div>')  # noqa: S308 - the nodes have escaped it


@register.tag
def live(parser: Parser, token: Token) -> template.Node:
    """Keep a part of a page up to date: ``{% live "now" %}...{% endlive %}``.

    A part is made once for all who look at the same address with the same roles: nothing in it may depend on who looks,
    and a form, which has a token of its visitor, makes the part stay as it is.
    """
    words = token.split_contents()
    if len(words) != 2:
        raise template.TemplateSyntaxError(f"{words[0]!r} takes one name, in quotes.")
    nodes = parser.parse(("endlive",))
    parser.delete_first_token()
    return _Live(parser.compile_filter(words[1]), nodes)
