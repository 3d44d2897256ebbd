"""Groups, chains and chords of signatures, freely nested. Immutable.

::

    chain(fetch.s(1), parse.s(), store.s("reports")).apply_async()
    group(resize.s(image) for image in images).apply_async()
    chord([count.s(part) for part in parts])(add_up.s())      # enqueues at once
    (fetch.s(1) | group(parse.s(), archive.s()) | report.s()).apply_async()

A result goes before the arguments of what follows, as one value; that of a group is the list of its members' results,
in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, Unpack

from ..exceptions import InvalidTask
from ..results.workflow_result import GroupResult
from ..tasks.signature import CallOptions, Signature
from ..tasks.step import AnyChain, ApplyOptions, Step
from .linked import linked
from .plan import DEFAULT_POLICY, FAIL, After, CompositeStep, Planner, Policy
from .start import astart, start

__all__ = ["Canvas", "Chain", "Chord", "Group", "chain", "chord", "group"]

_INSTEAD: Final = {
    "task_id": "a workflow makes the ids of its tasks. Keep the id of its result, or use headers=.",
    "retry": "it is an option of single tasks: a workflow's start is repeated for enqueue_timeout_s.",
    "retry_policy": "it is an option of single tasks: a workflow's start is repeated for enqueue_timeout_s.",
}
"""Options that workflows do not have, and what to do instead."""


class Canvas[T](CompositeStep):
    """Base of chains, groups and chords."""

    __slots__ = ()

    options: Mapping[str, Any]

    def __or__(self, other: Step) -> Chain:
        """Return a chain: this, then the other one with this one's result."""
        return chain(self, other)

    def set(self, **options: Unpack[ApplyOptions]) -> Self:
        """Return the same with options for all of its tasks that do not set them themselves.

        As those of ``apply_async()``; ``countdown`` and ``eta`` count for what starts first, ``link`` for the end,
        ``link_error`` too (of a group: for each member).

        Raises:
            InvalidTask: an option has an unknown name or a wrong value.
        """
        CallOptions.of(options)
        for name, value in options.items():
            if name in _INSTEAD:
                raise InvalidTask(f"{name} is {value!r}; {_INSTEAD[name]}")
        if isinstance(link := options.get("link"), str):
            raise InvalidTask(
                f"link is {link!r}; a workflow cannot wait for an enqueued task. Enqueue its first "
                f"task by itself, with the rest as a link: first.apply_async(link=[{link!r}, chain(...)])."
            )
        return replace(self, options={**self.options, **options})  # type: ignore[type-var]

    def with_defaults(self, options: Mapping[str, Any]) -> Self:
        """See `Step.with_defaults`."""
        return replace(self, options={**options, **self.options})  # type: ignore[type-var]

    def as_link(self) -> Signature:
        """See `Step.as_link`."""
        return linked(self)

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> T:
        """Enqueue the workflow atomically; return a handle on its result.

        Args:
            args: go before the arguments of what starts first.
            kwargs: likewise.
            **options: see `set`.

        Raises:
            InvalidTask: an option or a step is wrong.
            StoreUnavailable: no answer from the store in time; no task of it will run.
        """
        return start(self.clone(args, kwargs, **options))  # type: ignore[no-any-return]

    async def aapply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> T:
        """Enqueue it from an event loop; see `apply_async`."""
        return await astart(self.clone(args, kwargs, **options))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Group(Canvas[GroupResult]):
    """Tasks that run side by side. The result is the list of their results, in order."""

    members: tuple[Step, ...]
    policy: Policy = DEFAULT_POLICY
    options: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.members)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue it."""
        return self.apply_async(args, kwargs)

    def clone(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> Group:
        """Return the same with more arguments for each member."""
        changed = self.set(**options) if options else self
        if not args and not kwargs:
            return changed
        return replace(changed, members=tuple(member.clone(args, kwargs) for member in changed.members))

    def plan(self, planner: Planner, after: After) -> After:
        """See `CompositeStep.plan`."""
        if self.options.get("link"):
            raise InvalidTask("link: a group has no end of its own to link to; write group(...) | task.s().")
        return planner.side_by_side(self.members, self.policy, self.options, after)


@dataclass(frozen=True, slots=True)
class Chain(Canvas[Any], AnyChain):
    """Tasks that run one after the other, each with the result of the previous one. The result is that of the last."""

    steps: tuple[Step, ...]  # pyright: ignore[reportIncompatibleMethodOverride]  # a frozen field is as good
    options: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.steps)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue it."""
        return self.apply_async(args, kwargs)

    def clone(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> Chain:
        """Return the same with more arguments for its first step."""
        changed = self.set(**options) if options else self
        if not args and not kwargs:
            return changed
        return replace(changed, steps=(changed.steps[0].clone(args, kwargs), *changed.steps[1:]))

    def plan(self, planner: Planner, after: After) -> After:
        """See `CompositeStep.plan`."""
        return planner.in_sequence(self.steps, self.options, after)


@dataclass(frozen=True, slots=True)
class Chord(Canvas[Any]):
    """A group, the header, and a step that follows it, the body. The result is that of the body.

    Call it with a body to enqueue both.
    """

    header: Group
    body: Step | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, body: Step | None = None, **options: Unpack[ApplyOptions]) -> Any:
        """Enqueue the header with this body (default: its own)."""
        whole = self if body is None else replace(self, body=_step("body", body))
        return whole.apply_async(**options)

    def clone(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> Chord:
        """Return the same with more arguments for each member of its header."""
        changed = self.set(**options) if options else self
        return replace(changed, header=changed.header.clone(args, kwargs))

    def plan(self, planner: Planner, after: After) -> After:
        """See `CompositeStep.plan`."""
        if self.body is None:
            raise InvalidTask("A chord without a body can only be called with one: chord(header)(body).")
        return planner.in_sequence((self.header, self.body), self.options, after)


def group(
    *members: Step | Iterable[Step],
    on_error: str = FAIL,
    quorum: int | None = None,
    deadline: Any = None,
    fail_fast: bool = False,
) -> Group:
    """Return tasks that run side by side; one iterable of them may be given instead.

    Args:
        *members: signatures, chains, groups, chords.
        on_error: ``"fail"`` or ``"collect"``; this and the others: see `Policy`.
        quorum: run what follows after this many successes; missing members are None.
        deadline: what follows waits no longer than this, seconds or a timedelta.
        fail_fast: the first failure has the other members revoked.

    Raises:
        InvalidTask: an argument is none of these.
    """
    steps = _steps("group", members)
    if quorum is not None and quorum > len(steps):
        raise InvalidTask(f"quorum is {quorum!r}, but the group has {len(steps)} members.")
    return Group(steps, Policy.of(on_error, quorum, deadline, fail_fast))


def chain(*steps: Step | Iterable[Step]) -> Chain:
    """Return tasks that run one after the other; one iterable of them may be given instead.

    Raises:
        InvalidTask: there is none, or an argument is no signature, chain, group or chord.
    """
    flat: list[Step] = []
    for step in _steps("chain", steps):
        flat += step.steps if isinstance(step, Chain) and not step.options else (step,)
    if not flat:
        raise InvalidTask("chain() has no tasks; it needs at least one.")
    return Chain(tuple(flat))


def chord(
    header: Step | Iterable[Step],
    body: Step | None = None,
    *,
    on_error: str | None = None,
    quorum: int | None = None,
    deadline: Any = None,
    fail_fast: bool | None = None,
) -> Chord:
    """Return a chord: a group, the ``header``, and a step after it, the ``body``. ``chord(header)(body)`` enqueues it.

    Args:
        header: a group, or what `group` takes.
        body: gets the list of the header's results before its own arguments.
        on_error: this and the others: as of `group`, for this header.
        quorum: likewise.
        deadline: likewise.
        fail_fast: likewise.

    Raises:
        InvalidTask: an argument is wrong.
    """
    members = header if isinstance(header, Group) else group(header)
    given = (on_error, quorum, deadline, fail_fast)
    if any(one is not None for one in given):
        old = members.policy
        members = replace(
            group(
                *members.members,
                on_error=old.on_error if on_error is None else on_error,
                quorum=old.quorum if quorum is None else quorum,
                deadline=old.deadline_s if deadline is None else deadline,
                fail_fast=old.fail_fast if fail_fast is None else fail_fast,
            ),
            options=members.options,
        )
    return Chord(members, None if body is None else _step("body", body))


def _steps(what: str, given: Sequence[Any]) -> tuple[Step, ...]:
    if len(given) == 1 and not isinstance(given[0], Step):
        [several] = given
        if not isinstance(several, Iterable) or isinstance(several, (str, bytes, Mapping)):
            raise InvalidTask(f"{what}: {several!r} is no signature; write task.s(...), or a list of them.")
        given = tuple(several)
    return tuple(_step(what, one) for one in given)


def _step(what: str, one: Any) -> Step:
    if not isinstance(one, Step):
        raise InvalidTask(f"{what}: {one!r} is no signature; write task.s(...), or a chain, group or chord of them.")
    if isinstance(one, Signature):
        if one.options.task_id is not None:
            raise InvalidTask(
                f"{what}: {one!r} has task_id={one.options.task_id!r}, but a workflow makes the ids of its tasks. "
                "Leave it out; they are known afterwards (result.id, result.parent, group_result.ids). What must be "
                "known before goes into headers=."
            )
        if one.options.after:
            raise InvalidTask(
                f"{what}: {one!r} is linked to task {one.options.after}, but in a workflow they follow each other "
                "only. Enqueue its first task by itself, with the rest as a link: "
                f"first.apply_async(link=[{one.options.after!r}, chain(...)])."
            )
    elif isinstance(one, Chord) and one.body is None:
        raise InvalidTask(f"{what}: a chord without a body can only be called; write chord(header, body).")
    return one


Step.chained = chain
