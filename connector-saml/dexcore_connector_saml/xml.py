"""Reading XML that a stranger may have written: the only module that imports lxml.

What is not needed is refused before a parser sees it: declarations, comments and
processing instructions by their first two bytes, encodings by the first line.  What is
left has one tree, whoever parses it.
"""

from __future__ import annotations

import re

from collections.abc import Iterator
from typing import Any, TypeAlias, cast

import attrs

from lxml import etree

__all__ = [
    "ASSERTION",
    "DSIG",
    "DSIG11",
    "EXC_C14N",
    "MESSAGE",
    "METADATA",
    "METADATA_RULES",
    "PREFIXES",
    "PROTOCOL",
    "XENC",
    "XENC11",
    "XSI",
    "Element",
    "Rejected",
    "Rules",
    "XMLError",
    "canonical",
    "children",
    "element",
    "label",
    "namespace",
    "parse",
    "parser",
    "serialize",
    "text",
    "walk",
]

Element: TypeAlias = etree._Element

#: What the library raises.
XMLError = etree.LxmlError

PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
METADATA = "urn:oasis:names:tc:SAML:2.0:metadata"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
DSIG11 = "http://www.w3.org/2009/xmldsig11#"
EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
_XML = "http://www.w3.org/XML/1998/namespace"

#: Prefixes of what we write, and of names in our messages.
PREFIXES = {
    "samlp": PROTOCOL,
    "saml": ASSERTION,
    "md": METADATA,
    "ds": DSIG,
    "dsig11": DSIG11,
    "ec": EXC_C14N,
    "xenc": XENC,
    "xenc11": XENC11,
    "xsi": XSI,
}
_SHORT = {uri: prefix for prefix, uri in PREFIXES.items()}


class Rejected(Exception):
    """The document is not accepted.  The text is for the log, never for a page."""


@attrs.frozen
class Rules:
    """How much a document may be, and may do.

    ``one_form``: a prefix means one namespace in the whole document, and the default
    namespace is one of those above (ADFS and Entra ID redeclare it, so it may change).
    """

    bytes: int
    elements: int
    depth: int
    comments: bool
    one_form: bool


#: A response with thousands of groups has a hundred kilobytes; signatures are verified
#: over copies of all of it.
MESSAGE = Rules(512 * 1024, 10_000, 24, comments=False, one_form=True)
#: A federation lists thousands of providers, and people comment their files.
METADATA_RULES = Rules(16 << 20, 400_000, 32, comments=True, one_form=False)

_MOST_ATTRIBUTES = 32  # of one element; SAML's own have seven at most
# XML 1.0, section 2.8.  Any other encoding would be another text to another reader.
_DECLARATION = re.compile(
    rb"""<\?xml\s+version\s*=\s*(?:"1\.0"|'1\.0')"""
    rb"""(?:\s+encoding\s*=\s*(?:"(?:UTF|utf)-8"|'(?:UTF|utf)-8'))?"""
    rb"""(?:\s+standalone\s*=\s*(?:"(?:yes|no)"|'(?:yes|no)'))?\s*\?>"""
)
_NC_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,255}")
# A conforming parser reads the character; what we compare is not only read by those.
_REFERENCE_IN_ID = re.compile(rb"""\bI[Dd]\s*=\s*(?:"[^"<]*&|'[^'<]*&)""")
_ID_LIKE = ("id", "assertionid")
# They would have a reader look elsewhere, or read another document than we do.
_FORBIDDEN = frozenset(
    {
        f"{{{_XML}}}base",
        f"{{{XSI}}}schemaLocation",
        f"{{{XSI}}}noNamespaceSchemaLocation",
    }
)


def parse(data: bytes, rules: Rules = MESSAGE) -> Element:
    """Return the root of the document in *data*; raise :class:`Rejected`."""
    _check_bytes(data, rules)
    try:
        root = etree.fromstring(data, parser(comments=rules.comments))
    except etree.XMLSyntaxError as error:
        raise Rejected(f"not well-formed XML: {error.msg}") from None
    info = root.getroottree().docinfo
    if info.doctype or info.internalDTD is not None or info.externalDTD is not None:
        raise Rejected("a document type declaration")
    _check_tree(root, rules)
    return root


def parser(*, comments: bool = False) -> etree.XMLParser[Element]:
    """Return a new parser that opens nothing and expands nothing.

    Nothing is left out either, except *comments* if they are allowed: what a parser
    hides from us, another one may show.
    """
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        remove_blank_text=False,
        remove_comments=comments,
        remove_pis=False,
        strip_cdata=False,
    )


def _check_bytes(data: bytes, rules: Rules) -> None:
    if len(data) > rules.bytes:
        raise Rejected(f"{len(data)} bytes, which is more than {rules.bytes}")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected(f"not UTF-8 at byte {error.start}") from None
    rest = data
    if data.startswith(b"<?"):
        declaration = _DECLARATION.match(data)
        if declaration is None:
            raise Rejected("an XML declaration that is not that of XML 1.0 in UTF-8")
        rest = data[declaration.end() :]
    if not rest.lstrip(b" \t\r\n").startswith(b"<"):
        raise Rejected("something before the root element")
    # In well-formed XML "<" stands nowhere but where markup begins (section 2.4), so
    # this finds every declaration, comment, CDATA section and processing instruction.
    pattern = rb"<!(?!--)|<\?" if rules.comments else rb"<!|<\?"
    found = re.search(pattern, rest)
    if found:
        shown = rest[found.start() : found.start() + 10].decode("ascii", "replace")
        raise Rejected(
            f"a declaration, comment, CDATA section or instruction: {shown!r}"
        )
    if _REFERENCE_IN_ID.search(rest):
        raise Rejected("a character reference in an ID")


def _check_tree(root: Element, rules: Rules) -> None:
    depth = count = 0
    bound: dict[str, str] = {}
    ids: set[str] = set()
    events = ("start", "end", "start-ns", "comment", "pi")
    # The library's types do not know of namespace events on trees.
    steps: Iterator[tuple[str, Any]] = etree.iterwalk(root, events=cast(Any, events))
    for event, node in steps:
        if event == "start":
            depth, count = depth + 1, count + 1
            if depth > rules.depth:
                raise Rejected(f"more than {rules.depth} elements inside each other")
            if count > rules.elements:
                raise Rejected(f"more than {rules.elements} elements")
            _check_element(node, ids)
        elif event == "end":
            depth -= 1
        elif event == "start-ns":
            prefix, uri = node
            _check_namespace(prefix, uri, bound, rules)
        else:
            raise Rejected("a comment or a processing instruction")


def _check_element(node: Element, ids: set[str]) -> None:
    # An undeclared entity would be a node whose tag is a function.
    if not isinstance(node.tag, str):
        raise Rejected("something that is neither element nor text")
    if not node.tag.startswith("{"):
        raise Rejected(f"{node.tag}, which is in no namespace")
    if len(node.attrib) > _MOST_ATTRIBUTES:
        raise Rejected(f"more than {_MOST_ATTRIBUTES} attributes in {label(node)}")
    for name, value in node.attrib.items():
        name, value = str(name), str(value)
        uri, _, local = name.rpartition("}")
        if name in _FORBIDDEN:
            raise Rejected(f"the attribute {local} in {label(node)}")
        if local.lower() not in _ID_LIKE:
            continue
        if uri:
            raise Rejected(f"an {local} of a namespace in {label(node)}")
        if not _NC_NAME.fullmatch(value):
            raise Rejected(f"an {local} in {label(node)} that is no name")
        # Of whatever spelling: someone's id is the other one's Id.
        if value in ids:
            raise Rejected(f"the {local} {value} twice")
        ids.add(value)


def _check_namespace(
    prefix: str, uri: str, bound: dict[str, str], rules: Rules
) -> None:
    # Canonical XML of a relative namespace name is undefined, and was once empty.
    if ":" not in uri:
        raise Rejected(f"the namespace {uri!r}, which is not absolute")
    if not rules.one_form:
        return
    if not prefix and uri not in _SHORT:
        raise Rejected(f"the default namespace {uri!r}")
    if prefix and bound.setdefault(prefix, uri) != uri:
        raise Rejected(f"the prefix {prefix!r} for two namespaces")


# — Reading ----------------------------------------------------------------------------


def children(node: Element, *tags: str) -> list[Element]:
    """Return the child elements with one of *tags*, or all of them."""
    return [child for child in node if not tags or child.tag in tags]


def text(node: Element) -> str:
    """Return all the text in *node*, never only that before something else."""
    return "".join(str(part) for part in node.itertext())


def walk(node: Element) -> Iterator[Element]:
    """Return *node* and all elements in it, in document order."""
    return node.iter(etree.Element)


def namespace(node: Element) -> str:
    """Return the namespace of *node*."""
    return str(node.tag)[1:].partition("}")[0]


def label(node: Element | str) -> str:
    """Return the name of *node*, or a tag, as people write it: ``saml:Issuer``."""
    tag = node if isinstance(node, str) else str(node.tag)
    uri, _, local = tag.rpartition("}")
    prefix = _SHORT.get(uri.removeprefix("{"))
    return f"{prefix}:{local}" if prefix else local


def canonical(node: Element) -> bytes:
    """Return canonical XML of the whole document of *node*, which has no comments.

    What exclusive canonical XML has left of namespaces, this keeps.
    """
    return etree.tostring(node, method="c14n", exclusive=False, with_comments=False)


# — Writing ----------------------------------------------------------------------------


def element(
    tag: str,
    attributes: dict[str, str] | None = None,
    *content: Element,
    text: str | None = None,
) -> Element:
    """Return a new element; *tag* is ``samlp:Response``, say."""
    prefix, _, local = tag.partition(":")
    made = etree.Element(
        f"{{{PREFIXES[prefix]}}}{local}",
        attrib=attributes or {},
        nsmap={prefix: PREFIXES[prefix]},
    )
    made.text = text
    made.extend(content)
    return made


def serialize(node: Element, *, declaration: bool = False) -> bytes:
    """Return the text of *node*, in UTF-8."""
    return etree.tostring(node, xml_declaration=declaration, encoding="UTF-8")
