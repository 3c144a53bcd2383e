"""What a container's command would do, for the few commands that tests and examples use.

`interpret` reads a command (`sh -c "echo hi; sleep 5; exit 3"`, `sleep 60`, `date`) and tells
what it writes when and whether and how it ends. It understands lists, `&&`, `||`, `for` and endless
`while` loops; other programs succeed at once inside a script and run for ever as a main process.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from os.path import basename

import msgspec

__all__ = ["DATE", "Script", "interpret", "run_command"]

DATE = "\0date\0"
"""Stands in a line for the date at which it is written."""
_SHELLS = {"sh", "bash", "ash", "dash", "busybox"}
_SHELL_IMAGES = {
    "busybox", "alpine", "debian", "ubuntu", "fedora", "centos", "bash", "rockylinux", "almalinux", "archlinux",
    "python", "node", "golang", "ruby", "perl", "openjdk", "amazonlinux", "toolbox", "buildpack-deps",
}  # fmt: skip
_MOST_LINES = 5000
_SHORTEST_LOOP = 0.1
_MISSING = ("does-not-exist", "doesnotexist", "nonexistent", "no-such", "not-found", "notfound")


class Script(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a process does from its start on; offsets are seconds."""

    lines: tuple[tuple[float, str], ...] = ()
    ends_at: float | None = None
    """None: never."""
    exit_code: int = 0
    start_error: str = ""
    """It cannot even be started."""
    loop_from: float = 0.0
    loop_every: float = 0.0
    """From `loop_from` on, `loop_lines` come again and again with this period; 0: no loop."""
    loop_lines: tuple[tuple[float, str], ...] = ()
    files: tuple[tuple[float, str, bool], ...] = ()
    """(when, path, there): files that it makes and removes."""
    stop_code: int = 0
    """With what it ends when asked to stop."""

    def lines_until(self, age: float) -> list[tuple[float, str]]:
        """What it has written at an age, the newest few thousand lines."""
        found = [line for line in self.lines if line[0] <= age]
        if self.loop_every and age >= self.loop_from:
            rounds = int((age - self.loop_from) // self.loop_every) + 1
            first = max(0, rounds - _MOST_LINES // max(len(self.loop_lines), 1))
            for n in range(first, rounds):
                begin = self.loop_from + n * self.loop_every
                found += [(begin + at, text) for at, text in self.loop_lines if begin + at <= age]
        return found[-_MOST_LINES:]

    def next_line(self, age: float) -> float | None:
        """The age at which it writes next; None: never."""
        later = [at for at, _ in self.lines if at > age]
        if later:
            return min(later)
        if not self.loop_every or not self.loop_lines:
            return None
        if age < self.loop_from:
            return self.loop_from + self.loop_lines[0][0]
        begin = self.loop_from + (age - self.loop_from) // self.loop_every * self.loop_every
        here = [begin + at for at, _ in self.loop_lines if begin + at > age]
        return min(here) if here else begin + self.loop_every + self.loop_lines[0][0]


class _Forever(Exception):
    """The script goes on for ever from here."""


class _Exit(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


class _Shell:
    """Runs a token list in imagined time."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)
        self.age = 0.0
        self.lines: list[tuple[float, str]] = []
        self.files: list[tuple[float, str, bool]] = []
        self.loop: tuple[float, float, tuple[tuple[float, str], ...]] | None = None

    def run(self, tokens: Sequence[str]) -> int:
        code, i, wanted = 0, 0, True
        while i < len(tokens):
            token = tokens[i]
            if token in ("while", "until", "for", "if"):
                end = _closing(tokens, i)
                code = self._compound(tokens[i:end]) if wanted else code
                i = end
                continue
            if set(token) <= set(";&|\n"):
                wanted = code == 0 if token == "&&" else code != 0 if token == "||" else True
                i += 1
                continue
            end = i
            while end < len(tokens) and not set(tokens[end]) <= set(";&|\n"):
                end += 1
            code = self.command([self._expand(t) for t in tokens[i:end]]) if wanted else code
            i = end
        return code

    def command(self, argv: list[str]) -> int:
        while argv and re.fullmatch(r"[A-Za-z_]\w*=.*", argv[0], re.S):
            name, _, value = argv.pop(0).partition("=")
            self.env[name] = value
        argv = self._redirected(argv)
        if not argv:
            return 0
        name, args = basename(argv[0]), argv[1:]
        method = getattr(self, "_do_" + name.replace("[", "test"), None)
        return method(args) if method is not None else 0

    def _redirected(self, argv: list[str]) -> list[str]:
        """Without redirections; output into a file makes the file and no line."""
        kept: list[str] = []
        i = 0
        while i < len(argv):
            if argv[i] and set(argv[i]) <= set("<>"):
                target = argv[i + 1] if i + 1 < len(argv) else ""
                if kept and kept[-1] in ("1", "2"):
                    kept.pop()
                if ">" in argv[i] and not target.startswith(("/dev/", "&")):
                    self.files.append((self.age, target, True))
                    return ["true"]
                i += 2
                continue
            kept.append(argv[i])
            i += 1
        return kept

    def _say(self, text: str) -> int:
        if len(self.lines) < _MOST_LINES:
            self.lines += [(self.age, line) for line in text.split("\n")]
        return 0

    def _expand(self, token: str) -> str:
        token = re.sub(r"\$\(date[^)]*\)|`date[^`]*`", DATE, token)
        token = re.sub(r"\$\(hostname\)|`hostname`", self.env.get("HOSTNAME", ""), token)
        return re.sub(r"\$\{?([A-Za-z_]\w*)\}?", lambda found: self.env.get(found[1], ""), token)

    def _do_echo(self, args: list[str]) -> int:
        while args and args[0] in ("-n", "-e", "-ne"):
            args = args[1:]
        return self._say(" ".join(args))

    def _do_printf(self, args: list[str]) -> int:
        return self._say(args[0].replace("\\n", "\n").removesuffix("\n")) if args else 1

    def _do_sleep(self, args: list[str]) -> int:
        for arg in args:
            if arg in ("infinity", "inf"):
                raise _Forever
            found = re.fullmatch(r"(\d*\.?\d+)([smhd]?)", arg)
            if not found:
                self._say(f"sleep: invalid number '{arg}'")
                return 1
            self.age += float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
        return 0

    def _do_exit(self, args: list[str]) -> int:
        raise _Exit(int(args[0]) & 255 if args and args[0].lstrip("-").isdigit() else 0)

    def _do_false(self, args: list[str]) -> int:
        return 1

    def _do_date(self, args: list[str]) -> int:
        return self._say(DATE)

    def _do_hostname(self, args: list[str]) -> int:
        return self._say(self.env.get("HOSTNAME", ""))

    def _do_env(self, args: list[str]) -> int:
        return self._say("\n".join(f"{name}={value}" for name, value in self.env.items()))

    def _do_printenv(self, args: list[str]) -> int:
        return self._say("\n".join(self.env.get(name, "") for name in args)) if args else self._do_env(args)

    def _do_seq(self, args: list[str]) -> int:
        numbers = [int(a) for a in args if a.lstrip("-").isdigit()]
        return self._say("\n".join(map(str, _sequence(numbers)))) if numbers else 1

    def _do_touch(self, args: list[str]) -> int:
        self.files += [(self.age, path, True) for path in args if not path.startswith("-")]
        return 0

    def _do_rm(self, args: list[str]) -> int:
        self.files += [(self.age, path, False) for path in args if not path.startswith("-")]
        return 0

    def _do_cat(self, args: list[str]) -> int:
        if not args:
            raise _Forever
        for path in args:
            if not self._there(path):
                self._say(f"cat: can't open '{path}': No such file or directory")
                return 1
        return 0

    def _do_test(self, args: list[str]) -> int:
        args = [a for a in args if a != "]"]
        if len(args) == 2 and args[0] in ("-f", "-e", "-d"):
            return 0 if self._there(args[1]) else 1
        if len(args) == 3 and args[1] in ("=", "==", "!="):
            return 0 if (args[0] == args[2]) == (args[1] != "!=") else 1
        return 0

    def _there(self, path: str) -> bool:
        """What a script did not make below /tmp is taken to be in the image."""
        known = [present for at, name, present in self.files if name == path and at <= self.age]
        return known[-1] if known else not path.startswith("/tmp")

    def _do_tail(self, args: list[str]) -> int:
        if any(a.startswith(("-f", "-F", "--follow")) for a in args):
            raise _Forever
        return 0

    def _do_wait(self, args: list[str]) -> int:
        return 0

    def _do_exec(self, args: list[str]) -> int:
        if args and getattr(self, "_do_" + basename(args[0]), None) is None:
            raise _Forever
        raise _Exit(self.command(args))

    def _compound(self, tokens: Sequence[str]) -> int:
        if "do" not in tokens:
            return 0
        do = tokens.index("do")
        body = list(tokens[do + 1 :])
        while body and body[-1] in ("done", ";", "\n"):
            body.pop()
        if tokens[0] == "for":
            return self._for(tokens[1:do], body)
        condition = [t for t in tokens[1:do] if not set(t) <= set(";\n")]
        endless = (
            condition[:1] in ([":"], ["true"], ["[", "1"], ["1"])
            if tokens[0] == "while"
            else condition[:1] == ["false"]
        )
        if endless or tokens[0] == "while":
            self._endless(body)
        return 0

    def _for(self, head: Sequence[str], body: Sequence[str]) -> int:
        code = 0
        values = [self._expand(t) for t in head[2:] if not set(t) <= set(";\n")]
        for value in values[:_MOST_LINES]:
            self.env[head[0]] = value
            code = self.run(body)
        return code

    def _endless(self, body: Sequence[str]) -> None:
        begin, before = self.age, len(self.lines)
        self.run(body)
        period = max(self.age - begin, _SHORTEST_LOOP)
        lines = tuple((at - begin, text) for at, text in self.lines[before:])
        del self.lines[before:]
        self.loop = (begin, period, lines)
        raise _Forever


def _closing(tokens: Sequence[str], start: int) -> int:
    depth = 0
    for i in range(start, len(tokens)):
        depth += tokens[i] in ("while", "until", "for", "if")
        depth -= tokens[i] in ("done", "fi")
        if not depth:
            return i + 1
    return len(tokens)


def _sequence(numbers: Sequence[int]) -> range:
    first, last = (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[-1])
    return range(first, min(last, first + _MOST_LINES) + 1)


def _tokens(script: str) -> list[str]:
    script = re.sub(
        r"\$\(seq ((?:\d+ ?)+)\)|`seq ((?:\d+ ?)+)`",
        lambda found: " ".join(map(str, _sequence([int(n) for n in (found[1] or found[2]).split()]))),
        script,
    )
    script = re.sub(r"\{(\d+)\.\.(\d+)\}", lambda f: " ".join(map(str, _sequence([int(f[1]), int(f[2])]))), script)
    known = ("date", "hostname")
    script = re.sub(r"\$\(([a-z]+)([^()]*)\)", lambda found: f"`{found[1]}`" if found[1] in known else "", script)
    lexer = shlex.shlex(script, posix=True, punctuation_chars=";&|<>\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        return []


def interpret(
    image: str, command: Sequence[str], args: Sequence[str], env: Mapping[str, str], *, stdin: bool = False
) -> Script | None:
    """What the container does; None when it is a server, so to speak: it runs until it is stopped."""
    name = basename(image.partition("@")[0]).partition(":")[0]
    argv = [*command, *args] if command or name in _SHELL_IMAGES else []
    if not argv:
        if name == "hello-world":
            return Script(lines=((0.0, "Hello from Docker!"),), ends_at=0.0)
        if name in _SHELL_IMAGES:
            return None if stdin else Script(ends_at=0.0)
        return None
    if any(mark in basename(argv[0]) for mark in _MISSING):
        return Script(start_error=f'exec: "{argv[0]}": executable file not found in $PATH', ends_at=0.0, exit_code=128)
    shell = _Shell(env)
    try:
        code = _main(shell, argv, stdin)
        ends_at: float | None = shell.age
    except _Exit as exit_:
        code, ends_at = exit_.code, shell.age
    except _Forever:
        code, ends_at = 0, None
    if code < 0:
        return None
    loop = shell.loop or (0.0, 0.0, ())
    return Script(
        lines=tuple(shell.lines),
        ends_at=ends_at,
        exit_code=code,
        loop_from=loop[0],
        loop_every=loop[1],
        loop_lines=loop[2],
        files=tuple(shell.files),
        stop_code=143,
    )


def _main(shell: _Shell, argv: list[str], stdin: bool) -> int:
    """Run the main process; -1 when it is a program of its own that goes on."""
    name, args = basename(argv[0]), argv[1:]
    if name == "busybox" and args:
        name, args = args[0], args[1:]
    if name in _SHELLS:
        options = [i for i, a in enumerate(args) if re.fullmatch(r"-[a-z]*c[a-z]*", a)]
        if options and len(args) > options[0] + 1:
            return shell.run(_tokens(args[options[0] + 1]))
        if stdin:
            raise _Forever
        return 0
    if name in ("python", "python3", "perl", "node", "ruby") and any(
        a.startswith(("-c", "-e", "-M", "-w")) for a in args
    ):
        shell.age += 1.0
        return 0
    if getattr(shell, "_do_" + name, None) is None and name not in ("true", "ls", "id", "uname", "pwd", "whoami"):
        return -1
    return shell.command([name, *args])


def run_command(script: Script | None, age: float, env: Mapping[str, str], argv: Sequence[str]) -> tuple[int, str]:
    """Run a command inside a container of that age: (exit code, output)."""
    shell = _Shell(env)
    shell.files = [(0.0, path, there) for at, path, there in (script.files if script is not None else ()) if at <= age]
    try:
        code = _main(shell, list(argv), stdin=False)
    except _Exit as exit_:
        code = exit_.code
    except _Forever:
        code = 0
    return max(code, 0), "".join(text + "\n" for _, text in shell.lines)
