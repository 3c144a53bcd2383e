"""Rules for names, and the words that say how a name breaks them.

Every function takes a text and returns what is wrong with it, one sentence per fault and nothing
when it is good; the kinds and the metadata checks turn these into field errors.
(API concepts, "Object Names and IDs"; RFC 1123 and RFC 1035 for the label forms.)
"""

from __future__ import annotations

import re
from functools import lru_cache

from kybern.api.field import Errors, Path

__all__ = [
    "add_all",
    "c_identifier",
    "config_map_key",
    "dns1035_label",
    "dns1123_label",
    "dns1123_subdomain",
    "domain_prefixed_path",
    "fully_qualified_domain_name",
    "fully_qualified_name",
    "http_header_name",
    "label_value",
    "long_name",
    "mask_trailing_dash",
    "name_dns1035_label",
    "name_dns_label",
    "name_dns_subdomain",
    "name_path_segment",
    "path_segment",
    "qualified_name",
    "too_long",
    "wildcard_subdomain",
]

LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = LABEL + r"(\." + LABEL + ")*"
LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
WILDCARD = r"\*\." + SUBDOMAIN
QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
LABEL_VALUE = "(" + QUALIFIED + ")?"
IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
CONFIG_KEY = "[-._a-zA-Z0-9]+"
HEADER = "[-A-Za-z0-9]+"
URL_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"

LABEL_MAX = 63
SUBDOMAIN_MAX = 253

EMPTY = "must be non-empty"

_label = re.compile(LABEL).fullmatch
_subdomain = re.compile(SUBDOMAIN).fullmatch
_label_1035 = re.compile(LABEL_1035).fullmatch
_wildcard = re.compile(WILDCARD).fullmatch
_qualified = re.compile(QUALIFIED).fullmatch
_label_value = re.compile(LABEL_VALUE).fullmatch
_identifier = re.compile(IDENTIFIER).fullmatch
_config_key = re.compile(CONFIG_KEY).fullmatch
_header = re.compile(HEADER).fullmatch
_url_path = re.compile(URL_PATH).fullmatch


def mismatch(rule: str, pattern: str, *examples: str) -> str:
    """The sentence for a text that does not match a pattern."""
    shown = " or ".join(f"'{e}', " for e in examples)
    return f"{rule} (e.g. {shown}regex used for validation is '{pattern}')"


LABEL_TEXT = mismatch(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character",
    LABEL,
    "my-name",
    "123-abc",
)
SUBDOMAIN_TEXT = mismatch(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character",
    SUBDOMAIN,
    "example.com",
)
LABEL_1035_TEXT = mismatch(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character",
    LABEL_1035,
    "my-name",
    "abc-123",
)
WILDCARD_TEXT = mismatch(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist "
    "of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    WILDCARD,
    "*.example.com",
)
QUALIFIED_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
QUALIFIED_TEXT = mismatch(QUALIFIED_RULE, QUALIFIED, "MyName", "my.name", "123-abc")
LABEL_VALUE_TEXT = mismatch(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character",
    LABEL_VALUE,
    "MyValue",
    "my_value",
    "12345",
)
IDENTIFIER_TEXT = mismatch(
    "a valid C identifier must start with alphabetic character or '_', "
    "followed by a string of alphanumeric characters or '_'",
    IDENTIFIER,
    "my_name",
    "MY_NAME",
    "MyName",
)
CONFIG_KEY_TEXT = mismatch(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)
HEADER_TEXT = mismatch("a valid HTTP header must consist of alphanumeric characters or '-'", HEADER, "X-Header-Name")


def too_long(limit: int, unit: str = "characters") -> str:
    """The sentence for a text longer than its limit."""
    return f"must be no more than {limit} {unit}"


def add_all(errors: Errors, path: Path | str, value: object, faults: list[str]) -> None:
    """One Invalid error per fault."""
    for fault in faults:
        errors.invalid(path, value, fault)


def _length(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode())


def dns1123_label(value: str) -> list[str]:
    """One DNS label: `my-name`."""
    faults = [too_long(LABEL_MAX)] if _length(value) > LABEL_MAX else []
    if not _label(value):
        # A value that would do as a subdomain is only wrong because of its dots.
        faults.append("must not contain dots" if _subdomain(value) else LABEL_TEXT)
    return faults


def dns1123_subdomain(value: str) -> list[str]:
    """Labels joined by dots: `my-name.example.com`."""
    faults = [too_long(SUBDOMAIN_MAX)] if _length(value) > SUBDOMAIN_MAX else []
    if not _subdomain(value):
        faults.append(SUBDOMAIN_TEXT)
    return faults


def dns1035_label(value: str) -> list[str]:
    """One DNS label that starts with a letter."""
    faults = [too_long(LABEL_MAX)] if _length(value) > LABEL_MAX else []
    if not _label_1035(value):
        faults.append(LABEL_1035_TEXT)
    return faults


def wildcard_subdomain(value: str) -> list[str]:
    """`*.` and a subdomain."""
    faults = [too_long(SUBDOMAIN_MAX)] if _length(value) > SUBDOMAIN_MAX else []
    if not _wildcard(value):
        faults.append(WILDCARD_TEXT)
    return faults


def long_name(value: str) -> list[str]:
    """The subdomain rule for kinds whose limit is told in bytes (ReplicationController)."""
    faults = [too_long(SUBDOMAIN_MAX, "bytes")] if _length(value) > SUBDOMAIN_MAX else []
    if not _subdomain(value):
        faults.append(SUBDOMAIN_TEXT)
    return faults


@lru_cache(maxsize=4096)
def _qualified_faults(value: str) -> tuple[str, ...]:
    parts = value.split("/")
    if len(parts) > 2:
        form = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return (f"a valid label key {QUALIFIED_TEXT} {form}",)
    faults: list[str] = []
    name = parts[-1]
    if len(parts) == 2 and not parts[0]:
        faults.append(f"prefix part {EMPTY}")
    elif len(parts) == 2:
        faults += [f"prefix part {fault}" for fault in dns1123_subdomain(parts[0])]
    if not name:
        faults.append(f"name part {EMPTY}")
    elif _length(name) > LABEL_MAX:
        faults.append(f"name part {too_long(LABEL_MAX, 'bytes')}")
    if not _qualified(name):
        faults.append(f"name part {QUALIFIED_TEXT}")
    return tuple(faults)


def qualified_name(value: str) -> list[str]:
    """A name with an optional prefix: `name` or `example.com/name` (label keys, resource names, ...)."""
    return list(_qualified_faults(value))


@lru_cache(maxsize=4096)
def _label_value_faults(value: str) -> tuple[str, ...]:
    faults = (too_long(LABEL_MAX, "bytes"),) if _length(value) > LABEL_MAX else ()
    return faults if _label_value(value) else (*faults, LABEL_VALUE_TEXT)


def label_value(value: str) -> list[str]:
    """The value of a label; may be empty."""
    return list(_label_value_faults(value))


def c_identifier(value: str) -> list[str]:
    """A name as the C language has them."""
    return [] if _identifier(value) else [IDENTIFIER_TEXT]


def config_map_key(value: str) -> list[str]:
    """A key of a ConfigMap or Secret: a file name without tricks."""
    faults = [too_long(SUBDOMAIN_MAX)] if _length(value) > SUBDOMAIN_MAX else []
    if not _config_key(value):
        return [*faults, CONFIG_KEY_TEXT]
    if value in (".", ".."):
        return [*faults, f"must not be '{value}'"]
    if value.startswith(".."):
        return [*faults, "must not start with '..'"]
    return faults


def http_header_name(value: str) -> list[str]:
    """The name of an HTTP header."""
    return [] if _header(value) else [HEADER_TEXT]


def path_segment(value: str, prefix: bool = False) -> list[str]:
    """A name that may stand as one segment of a URL path."""
    if not prefix and value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{bad}'" for bad in ("/", "%") if bad in value]


def fully_qualified_name(errors: Errors, path: Path, value: str) -> None:
    """A subdomain of at least three labels (`sth.example.com`), as webhook names are."""
    if not value:
        errors.required(path)
    elif faults := dns1123_subdomain(value):
        errors.invalid(path, value, ",".join(faults))
    elif value.count(".") < 2:
        errors.invalid(path, value, "should be a domain with at least three segments separated by dots")


def fully_qualified_domain_name(errors: Errors, path: Path, value: str) -> None:
    """A domain of at least two labels; a trailing dot is allowed."""
    if not value:
        errors.required(path)
        return
    domain = value.removesuffix(".")
    if faults := dns1123_subdomain(domain):
        errors.invalid(path, domain, ",".join(faults))
        return
    if "." not in domain:
        errors.invalid(path, domain, "should be a domain with at least two segments separated by dots")
        return
    wrong = next(((label, faults) for label in domain.split(".") if (faults := dns1123_label(label))), None)
    if wrong:
        errors.invalid(path, wrong[0], ",".join(wrong[1]))


def domain_prefixed_path(errors: Errors, path: Path, value: str) -> None:
    """A domain, a slash and a URL path: `acme.io/foo`."""
    if not value:
        errors.required(path)
        return
    host, _, rest = value.partition("/")
    if not host or not rest:
        errors.invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
        return
    add_all(errors, path, host, dns1123_subdomain(host))
    if not _url_path(rest):
        errors.invalid(path, rest, f"Invalid path (regex used for validation is '{URL_PATH}')")


def mask_trailing_dash(name: str) -> str:
    """A generateName prefix may end with a dash: judge it as if something followed."""
    return name[:-2] + "a" if len(name) > 1 and name.endswith("-") else name


def name_dns_subdomain(name: str, prefix: bool) -> list[str]:
    """The rule for most kinds' names."""
    return dns1123_subdomain(mask_trailing_dash(name) if prefix else name)


def name_dns_label(name: str, prefix: bool) -> list[str]:
    """The rule for names that become one DNS label (Namespace, Service)."""
    return dns1123_label(mask_trailing_dash(name) if prefix else name)


def name_dns1035_label(name: str, prefix: bool) -> list[str]:
    """The older, stricter rule for one DNS label."""
    return dns1035_label(mask_trailing_dash(name) if prefix else name)


def name_path_segment(name: str, prefix: bool) -> list[str]:
    """The rule for names that only have to fit into a URL (RBAC)."""
    return path_segment(name, prefix)
