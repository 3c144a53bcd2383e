"""CEL expressions in API objects: whether they compile, with the function libraries of Kubernetes declared.

Validation of admission policies, webhooks, custom resource schemas and device selectors ends here.
The library is heavy and few objects have expressions, so it is imported on first use.
(Docs: "Common Expression Language in Kubernetes".)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

__all__ = ["KEYWORDS", "compile_fault", "is_identifier"]

_PREFIX, _SUFFIX = "INVALID_ARGUMENT: ", " [INVALID_ARGUMENT]"
KEYWORDS = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
    ]
)
"""Field names that rules write with underscores around them."""
_RESERVED = KEYWORDS | {"var", "void", "while"}

_TYPES = {
    "Quantity": "kubernetes.Quantity",
    "URL": "kubernetes.URL",
    "IP": "net.IP",
    "CIDR": "net.CIDR",
    "Semver": "kubernetes.Semver",
    "Format": "kubernetes.NamedFormat",
    "Authorizer": "kubernetes.authorization.Authorizer",
    "PathCheck": "kubernetes.authorization.PathCheck",
    "GroupCheck": "kubernetes.authorization.GroupCheck",
    "ResourceCheck": "kubernetes.authorization.ResourceCheck",
    "Decision": "kubernetes.authorization.Decision",
}

_FUNCTIONS = """
list.isSorted() bool
list.sum() dyn
list.min() dyn
list.max() dyn
list.indexOf(dyn) int
list.lastIndexOf(dyn) int
list.join() string
list.join(string) string
string.charAt(int) string
string.format(list) string
string.indexOf(string) int
string.indexOf(string, int) int
string.lastIndexOf(string) int
string.lastIndexOf(string, int) int
string.lowerAscii() string
string.upperAscii() string
string.replace(string, string) string
string.replace(string, string, int) string
string.reverse() string
string.split(string) strings
string.split(string, int) strings
string.substring(int) string
string.substring(int, int) string
string.trim() string
strings.quote(string) string
string.find(string) string
string.findAll(string) strings
string.findAll(string, int) strings
url(string) URL
isURL(string) bool
URL.getScheme() string
URL.getHost() string
URL.getHostname() string
URL.getPort() string
URL.getEscapedPath() string
URL.getQuery() map
quantity(string) Quantity
isQuantity(string) bool
Quantity.sign() int
Quantity.isInteger() bool
Quantity.asInteger() int
Quantity.asApproximateFloat() double
Quantity.add(Quantity) Quantity
Quantity.add(int) Quantity
Quantity.sub(Quantity) Quantity
Quantity.sub(int) Quantity
Quantity.isGreaterThan(Quantity) bool
Quantity.isLessThan(Quantity) bool
Quantity.compareTo(Quantity) int
ip(string) IP
isIP(string) bool
ip.isCanonical(string) bool
IP.family() int
IP.isUnspecified() bool
IP.isLoopback() bool
IP.isLinkLocalMulticast() bool
IP.isLinkLocalUnicast() bool
IP.isGlobalUnicast() bool
cidr(string) CIDR
isCIDR(string) bool
CIDR.containsIP(IP) bool
CIDR.containsIP(string) bool
CIDR.containsCIDR(CIDR) bool
CIDR.containsCIDR(string) bool
CIDR.ip() IP
CIDR.masked() CIDR
CIDR.prefixLength() int
semver(string) Semver
semver(string, bool) Semver
isSemver(string) bool
isSemver(string, bool) bool
Semver.major() int
Semver.minor() int
Semver.patch() int
Semver.isGreaterThan(Semver) bool
Semver.isLessThan(Semver) bool
Semver.compareTo(Semver) int
format.named(string) dyn
format.dns1123Label() Format
format.dns1123Subdomain() Format
format.dns1035Label() Format
format.qualifiedName() Format
format.dns1123LabelPrefix() Format
format.dns1123SubdomainPrefix() Format
format.dns1035LabelPrefix() Format
format.labelValue() Format
format.uri() Format
format.uuid() Format
format.byte() Format
format.date() Format
format.datetime() Format
Format.validate(string) dyn
sets.contains(list, list) bool
sets.equivalent(list, list) bool
sets.intersects(list, list) bool
Authorizer.path(string) PathCheck
Authorizer.group(string) GroupCheck
Authorizer.serviceAccount(string, string) Authorizer
GroupCheck.resource(string) ResourceCheck
ResourceCheck.subresource(string) ResourceCheck
ResourceCheck.namespace(string) ResourceCheck
ResourceCheck.name(string) ResourceCheck
ResourceCheck.fieldSelector(string) ResourceCheck
ResourceCheck.labelSelector(string) ResourceCheck
ResourceCheck.check(string) Decision
PathCheck.check(string) Decision
Decision.allowed() bool
Decision.reason() string
Decision.errored() bool
Decision.error() string
"""
"""One declaration a line: `receiver.name(arguments) result`. Lower-case words before a dot are namespaces,
except the names of CEL's own types."""

_PLAIN = ("list", "string", "strings", "map", "int", "bool", "double", "dyn")


def is_identifier(name: str) -> bool:
    """Whether the text can name a variable."""
    return name.isascii() and name.isidentifier() and name not in _RESERVED


@lru_cache(maxsize=1024)
def compile_fault(
    expression: str, variables: tuple[str, ...], results: tuple[str, ...] = ("bool",), *, checked: bool = True
) -> str:
    """What is wrong with the expression, in the words of the API; empty when it compiles.

    `variables` are names it may use, with a type when it is known (`self:int`); `authorizer` is of its own.
    `results` are the types it may have (`bool`, `string`, `null_type`); none: any. Not `checked`: only
    the syntax counts (expressions that build objects of types only known where they run).
    """
    environment = _environment(variables)
    try:
        compiled = environment.compile(expression, disable_check=not checked)
    except RuntimeError as fault:
        text = str(fault).removeprefix(_PREFIX).removesuffix(_SUFFIX)
        return f"compilation failed: {_shown(text, expression)}"
    if not checked or not results or _result_of(compiled) in (*results, "dyn"):
        return ""
    if len(results) == 1:
        return f"must evaluate to {results[0]}"
    return f"must evaluate to one of [{' '.join(results)}]"


def _result_of(compiled: Any) -> str:
    name = str(compiled.return_type().name()).lower()
    return "null_type" if name == "null" else name


def _shown(text: str, expression: str) -> str:
    """Go's compiler counts columns of an empty expression from 0."""
    return text if expression else text.replace("<input>:1:1:", "<input>:1:0:", 1)


@cache
def _environment(variables: tuple[str, ...]) -> Any:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_optional

    types = _types()
    declared = {}
    for variable in variables:
        name, _, kind = variable.partition(":")
        declared[name] = types["Authorizer"] if name == "authorizer" else types[kind or "dyn"]
    if "authorizer" in variables:
        declared["authorizer.requestResource"] = types["ResourceCheck"]
    return cel.NewEnv(variables=declared, extensions=[ext_optional.ExtOptional()], functions=_declarations())


@cache
def _types() -> dict[str, Any]:
    from cel_expr_python.cel import Type

    types = {name: Type.AbstractType(full) for name, full in _TYPES.items()}
    types |= {name: getattr(Type, name.upper()) for name in ("string", "int", "bool", "double", "dyn")}
    strings = Type.List(Type.STRING)
    return types | {"list": Type.List(Type.DYN), "strings": strings, "map": Type.Map(Type.STRING, strings)}


@cache
def _declarations() -> list[Any]:
    from cel_expr_python.cel import FunctionDecl

    overloads: dict[str, list[Any]] = {}
    for line in _FUNCTIONS.split("\n"):
        if line:
            name, overload = _declaration(line)
            overloads.setdefault(name, []).append(overload)
    return [FunctionDecl(name, found) for name, found in overloads.items()]


def _declaration(line: str) -> tuple[str, Any]:
    from cel_expr_python.cel import Overload

    types = _types()
    head, _, rest = line.partition("(")
    inside, _, result = rest.partition(") ")
    parameters: Sequence[Any] = [types[p] for p in inside.split(", ") if p]
    receiver, dot, name = head.rpartition(".")
    is_member = bool(dot) and (receiver in _TYPES or receiver in _PLAIN)
    if is_member:
        parameters = [types[receiver], *parameters]
    identity = line.translate(str.maketrans("., ()", "_____"))
    overload = Overload(identity, return_type=types[result], parameters=parameters, is_member=is_member)
    return name if is_member else head, overload
